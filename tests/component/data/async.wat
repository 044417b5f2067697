;; SPDX-License-Identifier: Apache-2.0
;; Async functions (WASI 0.3) as far as they run: `worker` has tasks that end without waiting and some that would wait,
;; `user` calls them and is what the root exports.
(component
  (component $worker_component
    (core func $return (canon task.return (result u32)))
    (core func $get (canon context.get i32 0))
    (core func $set (canon context.set i32 0))
    (core func $inc (canon backpressure.inc))
    (core func $dec (canon backpressure.dec))
    (core func $set_new (canon waitable-set.new))
    (core module $core
      (import "" "return" (func $return (param i32)))
      (import "" "get" (func $get (result i32)))
      (import "" "set" (func $set (param i32)))
      (import "" "inc" (func $inc))
      (import "" "dec" (func $dec))
      (import "" "set-new" (func $set_new (result i32)))
      ;; the slot is this task's own, so it begins at zero
      (func (export "double") (param i32) (result i32)
        (call $set (i32.add (call $get) (local.get 0)))
        (call $return (i32.add (call $get) (call $get)))
        (i32.const 0))
      (func (export "twice") (param i32) (result i32)
        (call $return (local.get 0)) (call $return (local.get 0)) (i32.const 0))
      (func (export "never") (param i32) (result i32) (i32.const 0))
      (func (export "waits") (param i32) (result i32) (i32.const 1))
      (func (export "set") (param i32) (result i32) (call $set_new))
      (func (export "press") (param i32) (call $inc))
      (func (export "release") (param i32) (call $dec))
      (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
    (core instance $c (instantiate $core (with "" (instance
      (export "return" (func $return)) (export "get" (func $get)) (export "set" (func $set))
      (export "inc" (func $inc)) (export "dec" (func $dec)) (export "set-new" (func $set_new))))))
    (type $f (func async (param "n" u32) (result u32)))
    (alias core export $c "callback" (core func $cb))
    (func (export "double") (type $f) (canon lift (core func $c "double") async (callback $cb)))
    (func (export "twice") (type $f) (canon lift (core func $c "twice") async (callback $cb)))
    (func (export "never") (type $f) (canon lift (core func $c "never") async (callback $cb)))
    (func (export "waits") (type $f) (canon lift (core func $c "waits") async (callback $cb)))
    (func (export "set") (type $f) (canon lift (core func $c "set") async (callback $cb)))
    (func (export "press") (param "n" u32) (canon lift (core func $c "press")))
    (func (export "release") (param "n" u32) (canon lift (core func $c "release"))))
  (instance $worker (instantiate $worker_component))

  (component $user_component
    (import "double" (func $double async (param "n" u32) (result u32)))
    (core module $memory (memory (export "mem") 1))
    (core instance $m (instantiate $memory))
    (core func $double' (canon lower (func $double) async (memory $m "mem")))
    (core func $double_sync (canon lower (func $double)))
    (core module $core
      (import "" "mem" (memory 1))
      (import "" "double" (func $double (param i32 i32) (result i32)))
      (import "" "double-sync" (func $double_sync (param i32) (result i32)))
      ;; 1000 times how far the call came, and the result
      (func (export "call") (param i32) (result i32)
        (i32.add (i32.mul (call $double (local.get 0) (i32.const 64)) (i32.const 1000)) (i32.load (i32.const 64))))
      (func (export "call-sync") (param i32) (result i32) (call $double_sync (local.get 0))))
    (core instance $c (instantiate $core (with "" (instance
      (export "mem" (memory $m "mem")) (export "double" (func $double')) (export "double-sync" (func $double_sync))))))
    (func (export "call") (param "n" u32) (result u32) (canon lift (core func $c "call")))
    (func (export "call-sync") (param "n" u32) (result u32) (canon lift (core func $c "call-sync"))))
  (instance $user (instantiate $user_component (with "double" (func $worker "double"))))

  (export "call" (func $user "call"))
  (export "call-sync" (func $user "call-sync"))
  (export "double" (func $worker "double"))
  (export "twice" (func $worker "twice"))
  (export "never" (func $worker "never"))
  (export "waits" (func $worker "waits"))
  (export "set" (func $worker "set"))
  (export "press" (func $worker "press"))
  (export "release" (func $worker "release")))
