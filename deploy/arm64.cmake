# SPDX-License-Identifier: Apache-2.0
# CMake toolchain file: builds for arm64 on another Debian machine, and runs what was built (tests, and the generator of
# handlers) by qemu-user.
#   dpkg --add-architecture arm64
#   apt install gcc-aarch64-linux-gnu qemu-user, and :arm64 of each library that .ci/packages names
#   cmake -S . -B build-arm64 -G Ninja -DCMAKE_TOOLCHAIN_FILE=deploy/arm64.cmake [-DCMAKE_C_COMPILER=clang]
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(triple aarch64-linux-gnu)

if(NOT CMAKE_C_COMPILER)
  set(CMAKE_C_COMPILER ${triple}-gcc)
endif()
set(CMAKE_C_COMPILER_TARGET ${triple}) # clang asks for it
set(CMAKE_LIBRARY_ARCHITECTURE ${triple})
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/${triple}/pkgconfig:/usr/share/pkgconfig)
