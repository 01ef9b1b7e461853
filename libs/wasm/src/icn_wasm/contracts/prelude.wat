;; What hand-written contracts share. Memory: texts from 1024, keys from 4096, output from 8192, heap from 32768.
(import "env" "db_read" (func $db_read (param i32) (result i32)))
(import "env" "db_write" (func $db_write (param i32 i32)))
(import "env" "db_remove" (func $db_remove (param i32)))
(import "env" "db_scan" (func $db_scan (param i32 i32 i32) (result i32)))
(import "env" "db_next" (func $db_next (param i32) (result i32)))
(import "env" "db_next_key" (func $db_next_key (param i32) (result i32)))
(import "env" "abort" (func $abort (param i32)))

(memory (export "memory") 1)
(global $heap (mut i32) (i32.const 32768))
(global $out (mut i32) (i32.const 8192))
(global $key (mut i32) (i32.const 4096))
(global $at (mut i32) (i32.const 0))
(global $end (mut i32) (i32.const 0))
(global $text (mut i32) (i32.const 0))
(global $text_size (mut i32) (i32.const 0))

(func (export "interface_version_8"))
(func (export "deallocate") (param i32))

;; A Region of its own for SIZE bytes; nothing is given back, a call is short.
(func $allocate (export "allocate") (param $size i32) (result i32)
  (local $region i32)
  (local.set $region (global.get $heap))
  (global.set $heap (i32.and (i32.add (i32.add (global.get $heap) (local.get $size)) (i32.const 19)) (i32.const -8)))
  (block $fits
    (br_if $fits (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
    (br_if $fits (i32.ne (i32.const -1)
      (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16))))))
    (unreachable))
  (i32.store (local.get $region) (i32.add (local.get $region) (i32.const 12)))
  (i32.store offset=4 (local.get $region) (local.get $size))
  (i32.store offset=8 (local.get $region) (i32.const 0))
  (local.get $region))

;; A Region that says where bytes lie already.
(func $region (param $start i32) (param $size i32) (result i32)
  (local $region i32)
  (local.set $region (call $allocate (i32.const 0)))
  (i32.store (local.get $region) (local.get $start))
  (i32.store offset=4 (local.get $region) (local.get $size))
  (i32.store offset=8 (local.get $region) (local.get $size))
  (local.get $region))

(func $stop (param $start i32) (param $size i32)
  (call $abort (call $region (local.get $start) (local.get $size)))
  (unreachable))

;; Output.
(func $emit (param $start i32) (param $size i32)
  (if (i32.gt_u (i32.add (global.get $out) (local.get $size)) (i32.const 32768))
    (then (call $stop 'output too long')))
  (memory.copy (global.get $out) (local.get $start) (local.get $size))
  (global.set $out (i32.add (global.get $out) (local.get $size))))

(func $emit_byte (param $byte i32)
  (i32.store8 (global.get $out) (local.get $byte))
  (global.set $out (i32.add (global.get $out) (i32.const 1))))

(func $emit_number (param $number i64)
  (if (i64.ge_u (local.get $number) (i64.const 10))
    (then (call $emit_number (i64.div_u (local.get $number) (i64.const 10)))))
  (call $emit_byte (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10))))))

(func $sextet (param $bits i32)
  (local $place i32)
  (local.set $bits (i32.and (local.get $bits) (i32.const 63)))
  (local.set $place (i32.load8_u (i32.add (local.get $bits)
    (block (result i32) 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/' drop))))
  (call $emit_byte (local.get $place)))

;; What has been put out so far, as the answer to a query: base64 in {"ok":"…"}.
(func $answer_query (result i32)
  (local $from i32) (local $to i32) (local $answer i32) (local $three i32) (local $left i32)
  (local.set $from (i32.const 8192))
  (local.set $to (global.get $out))
  (i32.store8 (local.get $to) (i32.const 0))
  (i32.store8 offset=1 (local.get $to) (i32.const 0))
  (global.set $out (i32.add (global.get $out) (i32.const 2)))
  (local.set $answer (global.get $out))
  (call $emit '{"ok":"')
  (block $done
    (loop $more
      (br_if $done (i32.ge_u (local.get $from) (local.get $to)))
      (local.set $left (i32.sub (local.get $to) (local.get $from)))
      (local.set $three (i32.or (i32.or
        (i32.shl (i32.load8_u (local.get $from)) (i32.const 16))
        (i32.shl (i32.load8_u offset=1 (local.get $from)) (i32.const 8)))
        (i32.load8_u offset=2 (local.get $from))))
      (if (i32.eq (local.get $left) (i32.const 2))
        (then (local.set $three (i32.and (local.get $three) (i32.const 0xffff00)))))
      (call $sextet (i32.shr_u (local.get $three) (i32.const 18)))
      (call $sextet (i32.shr_u (local.get $three) (i32.const 12)))
      (if (i32.lt_u (local.get $left) (i32.const 2))
        (then (call $emit_byte (i32.const 61)))
        (else (call $sextet (i32.shr_u (local.get $three) (i32.const 6)))))
      (if (i32.lt_u (local.get $left) (i32.const 3))
        (then (call $emit_byte (i32.const 61)))
        (else (call $sextet (local.get $three))))
      (local.set $from (i32.add (local.get $from) (i32.const 3)))
      (br $more)))
  (call $emit '"}')
  (call $region (local.get $answer) (i32.sub (global.get $out) (local.get $answer))))

;; What has been put out so far, as it stands.
(func $answer (result i32)
  (call $region (i32.const 8192) (i32.sub (global.get $out) (i32.const 8192))))

(func $refuse (param $start i32) (param $size i32) (result i32)
  (global.set $out (i32.const 8192))
  (call $emit '{"error":"')
  (call $emit (local.get $start) (local.get $size))
  (call $emit '"}')
  (call $answer))

(func $done (result i32)
  (call $emit '{"ok":{"messages":[],"attributes":[],"events":[],"data":null}}')
  (call $answer))

;; Storage. Keys are put together in a buffer of their own.
(func $key_begin (param $start i32) (param $size i32)
  (global.set $key (i32.const 4096))
  (call $key_add (local.get $start) (local.get $size)))

(func $key_add (param $start i32) (param $size i32)
  (if (i32.gt_u (i32.add (global.get $key) (local.get $size)) (i32.const 8192))
    (then (call $stop 'key too long')))
  (memory.copy (global.get $key) (local.get $start) (local.get $size))
  (global.set $key (i32.add (global.get $key) (local.get $size))))

(func $key_region (result i32)
  (call $region (i32.const 4096) (i32.sub (global.get $key) (i32.const 4096))))

;; The number under the key, 0 where there is none.
(func $load (result i64)
  (local $found i32)
  (local.set $found (call $db_read (call $key_region)))
  (if (i32.eqz (local.get $found)) (then (return (i64.const 0))))
  (i64.load (i32.load (local.get $found))))

(func $save (param $number i64)
  (local $value i32)
  (local.set $value (call $allocate (i32.const 8)))
  (i32.store offset=8 (local.get $value) (i32.const 8))
  (i64.store (i32.load (local.get $value)) (local.get $number))
  (call $db_write (call $key_region) (local.get $value)))

(func $has (result i32)
  (i32.ne (call $db_read (call $key_region)) (i32.const 0)))

;; Puts the text under the key into $text; false where there is none.
(func $load_text (result i32)
  (local $found i32)
  (local.set $found (call $db_read (call $key_region)))
  (if (i32.eqz (local.get $found)) (then (return (i32.const 0))))
  (global.set $text (i32.load (local.get $found)))
  (global.set $text_size (i32.load offset=8 (local.get $found)))
  (i32.const 1))

(func $save_text
  (call $db_write (call $key_region) (call $region (global.get $text) (global.get $text_size))))

;; Reading a message, which has no white space and its members in one order.
(func $open (param $region i32)
  (global.set $at (i32.load (local.get $region)))
  (global.set $end (i32.add (global.get $at) (i32.load offset=8 (local.get $region)))))

;; Whether this comes next; goes past it if so.
(func $next_is (param $start i32) (param $size i32) (result i32)
  (local $place i32)
  (if (i32.gt_u (i32.add (global.get $at) (local.get $size)) (global.get $end)) (then (return (i32.const 0))))
  (block $same
    (loop $more
      (br_if $same (i32.eq (local.get $place) (local.get $size)))
      (if (i32.ne (i32.load8_u (i32.add (global.get $at) (local.get $place)))
                  (i32.load8_u (i32.add (local.get $start) (local.get $place))))
        (then (return (i32.const 0))))
      (local.set $place (i32.add (local.get $place) (i32.const 1)))
      (br $more)))
  (global.set $at (i32.add (global.get $at) (local.get $size)))
  (i32.const 1))

(func $expect (param $start i32) (param $size i32)
  (if (i32.eqz (call $next_is (local.get $start) (local.get $size)))
    (then (call $stop 'message not understood'))))

(func $expect_end
  (if (i32.ne (global.get $at) (global.get $end)) (then (call $stop 'message not understood'))))

;; Up to the quote or comma that ends it: a-z, 0-9 and ./_- only, 1 to 64 of them, so that nothing needs escaping.
(func $read_text
  (local $byte i32)
  (global.set $text (global.get $at))
  (block $ends
    (loop $more
      (br_if $ends (i32.ge_u (global.get $at) (global.get $end)))
      (local.set $byte (i32.load8_u (global.get $at)))
      (br_if $ends (i32.eqz (i32.or
        (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
        (i32.or (i32.lt_u (i32.sub (local.get $byte) (i32.const 45)) (i32.const 13))
                (i32.eq (local.get $byte) (i32.const 95))))))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (br $more)))
  (global.set $text_size (i32.sub (global.get $at) (global.get $text)))
  (if (i32.or (i32.eqz (global.get $text_size)) (i32.gt_u (global.get $text_size) (i32.const 64)))
    (then (call $stop 'message not understood'))))

;; A number of 1 to 18 digits without leading zeros, except 0.
(func $read_number (result i64)
  (local $number i64) (local $from i32) (local $digit i32)
  (local.set $from (global.get $at))
  (block $ends
    (loop $more
      (br_if $ends (i32.ge_u (global.get $at) (global.get $end)))
      (local.set $digit (i32.sub (i32.load8_u (global.get $at)) (i32.const 48)))
      (br_if $ends (i32.gt_u (local.get $digit) (i32.const 9)))
      (local.set $number (i64.add (i64.mul (local.get $number) (i64.const 10))
                                  (i64.extend_i32_u (local.get $digit))))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (br $more)))
  (if (i32.or (i32.or (i32.eq (global.get $at) (local.get $from))
                      (i32.gt_u (i32.sub (global.get $at) (local.get $from)) (i32.const 18)))
              (i32.and (i32.eq (i32.load8_u (local.get $from)) (i32.const 48))
                       (i32.gt_u (i32.sub (global.get $at) (local.get $from)) (i32.const 1))))
    (then (call $stop 'message not understood')))
  (local.get $number))
