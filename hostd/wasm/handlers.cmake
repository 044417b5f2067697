# The interpreter's handlers: generated from ops.def into the build folder, compiled with the flags that tail-call
# dispatch needs (sibling calls even in debug builds, no stack frames in handlers).
set(HANDLERS_DIR ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${HANDLERS_DIR}/hostd/wasm)
add_executable(gen_ops ${CMAKE_SOURCE_DIR}/hostd/wasm/gen_ops.c ${CMAKE_SOURCE_DIR}/hostd/wasm/gen_fused.c)
if(FUZZ)
  target_compile_options(gen_ops PRIVATE -fno-sanitize=fuzzer-no-link) # it links no fuzzer
endif()
set_property(SOURCE ${CMAKE_SOURCE_DIR}/hostd/wasm/gen_ops.c APPEND PROPERTY
  OBJECT_DEPENDS "${CMAKE_SOURCE_DIR}/hostd/wasm/ops.def;${CMAKE_SOURCE_DIR}/hostd/wasm/simd.def")
set(HANDLERS_FILES "")
foreach(kind list shared vectors twice shapes rows steps)
  set(file ${HANDLERS_DIR}/hostd/wasm/ops_${kind}.inc)
  add_custom_command(OUTPUT ${file} COMMAND gen_ops ${kind} > ${file} DEPENDS gen_ops VERBATIM)
  list(APPEND HANDLERS_FILES ${file})
endforeach()
add_custom_target(wasm_handlers DEPENDS ${HANDLERS_FILES})
include_directories(${HANDLERS_DIR})

option(DISPATCH_LOOP "interpreter handlers return to a loop instead of calling each other" OFF)
option(WITHOUT_FUEL "guests use no fuel and cannot be stopped: shows what fuel costs (tests/bench/run)" OFF)
set(handler_flags -fwrapv -fno-math-errno -ffp-contract=off)
if(WITHOUT_FUEL)
  list(APPEND handler_flags -DWITHOUT_FUEL)
endif()
if(DISPATCH_LOOP OR SAN)
  list(APPEND handler_flags -DDISPATCH_LOOP)
else()
  # no vectorising: two words stored one by one and loaded as one stall
  list(APPEND handler_flags -O2 -fomit-frame-pointer -foptimize-sibling-calls -fno-stack-protector
    -fcf-protection=none -fno-lto -fno-tree-slp-vectorize -fno-asynchronous-unwind-tables)
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND handler_flags -fno-ipa-icf) # equal handlers would become jumps to one of them
  endif()
endif()
set_source_files_properties(${CMAKE_SOURCE_DIR}/hostd/wasm/exec.c
  ${CMAKE_SOURCE_DIR}/hostd/wasm/exec_checked.c ${CMAKE_SOURCE_DIR}/hostd/wasm/exec_values.c
  ${CMAKE_SOURCE_DIR}/hostd/wasm/exec_simd.c PROPERTIES COMPILE_OPTIONS "${handler_flags}")
if(DISPATCH_LOOP OR SAN)
  set_source_files_properties(${CMAKE_SOURCE_DIR}/hostd/wasm/fault.c PROPERTIES
    COMPILE_DEFINITIONS HANDLERS_SAVE_STATE=1)
endif()
if(SAN STREQUAL "thread")
  set_source_files_properties(${CMAKE_SOURCE_DIR}/hostd/wasm/vm.c PROPERTIES
    COMPILE_DEFINITIONS FAULT_RESTORES_MASK=1)
endif()
