;; SPDX-License-Identifier: Apache-2.0
;; Its start function makes a handle, without any call of the host: state that is not in memory.
(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (core func $rep (canon resource.rep $r))
  (core module $core
    (import "" "new" (func $new (param i32) (result i32)))
    (import "" "rep" (func $rep (param i32) (result i32)))
    (global $made (mut i32) (i32.const 0))
    (func $start (global.set $made (call $new (i32.const 42))))
    (start $start)
    (func (export "use") (result i32) (call $rep (global.get $made))))
  (core instance $c (instantiate $core (with "" (instance (export "new" (func $new)) (export "rep" (func $rep))))))
  (func (export "use") (result u32) (canon lift (core func $c "use"))))
