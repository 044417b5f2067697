;; SPDX-License-Identifier: Apache-2.0
;; The core half of the echo components that test_roundtrip.c builds: an allocator that never frees, and a function
;; that gives back the address it was given.
(module
  (memory (export "mem") 64)
  (global $next (mut i32) (i32.const 1024))
  (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $p i32)
    (local.set $p (i32.and (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                           (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $p) (local.get $size)))
    (memory.copy (local.get $p) (local.get $old)
      (select (local.get $old_size) (local.get $size) (i32.lt_u (local.get $old_size) (local.get $size))))
    (local.get $p))
  (func (export "echo") (param i32) (result i32) (local.get 0)))
