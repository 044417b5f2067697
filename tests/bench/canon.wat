;; SPDX-License-Identifier: Apache-2.0
;; What tests/bench/canon.c passes values to and takes them from. The guest does nothing with them; each call gives back
;; what its allocator handed out.
(component
  (core module $core
    (memory (export "mem") 8)
    (global $top (mut i32) (i32.const 262144))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.get $top)
      (global.set $top (i32.add (global.get $top) (local.get 3))))
    (func (export "nothing"))
    (func (export "take") (param i32 i32) (global.set $top (i32.const 262144)))
    ;; n elements of what lies at 1024: zeroes
    (func (export "give") (param i32) (result i32)
      (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (local.get 0)) (i32.const 16)))
  (core instance $c (instantiate $core))
  (alias core export $c "mem" (core memory $mem))
  (alias core export $c "realloc" (core func $realloc))
  (type $row' (record (field "id" u32) (field "at" u64) (field "share" f32) (field "on" bool)))
  (export $row "row" (type $row'))
  (func (export "nothing") (canon lift (core func $c "nothing")))
  (func (export "take-string") (param "v" string) (canon lift (core func $c "take") (memory $mem) (realloc $realloc)))
  (func (export "take-bytes") (param "v" (list u8)) (canon lift (core func $c "take") (memory $mem) (realloc $realloc)))
  (func (export "take-rows") (param "v" (list $row)) (canon lift (core func $c "take") (memory $mem) (realloc $realloc)))
  (func (export "take-utf16") (param "v" string)
    (canon lift (core func $c "take") (memory $mem) (realloc $realloc) string-encoding=utf16))
  (func (export "give-string") (param "n" u32) (result string) (canon lift (core func $c "give") (memory $mem)))
  (func (export "give-bytes") (param "n" u32) (result (list u8)) (canon lift (core func $c "give") (memory $mem)))
  (func (export "give-rows") (param "n" u32) (result (list $row)) (canon lift (core func $c "give") (memory $mem)))
  (func (export "give-utf16") (param "n" u32) (result string)
    (canon lift (core func $c "give") (memory $mem) string-encoding=utf16)))
