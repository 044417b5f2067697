// SPDX-License-Identifier: Apache-2.0

// Go as an HTTP handler, with imports of WASI 0.2 in the canonical ABI's flattened forms, which Go has been able to export
// and import since 1.24. What its runtime needs of WASI 0.1 is in wasip1.c.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"
)

type handle = int32

//go:wasmimport wasi:http/types@0.2.12 [constructor]fields
func fieldsNew() handle

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-request.path-with-query
func requestPath(request handle, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-request.consume
func requestConsume(request handle, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]incoming-request
func requestDrop(request handle)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-body.stream
func incomingStream(body handle, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]incoming-body
func incomingDrop(body handle)

//go:wasmimport wasi:http/types@0.2.12 [constructor]outgoing-response
func responseNew(fields handle) handle

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-response.set-status-code
func setStatus(response handle, status uint32) uint32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-response.body
func responseBody(response handle, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [static]response-outparam.set
func outparamSet(out, err, response handle, a int32, b int64, c, d, e, f int32)

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-body.write
func bodyWrite(body handle, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [static]outgoing-body.finish
func bodyFinish(body, some, trailers handle, ret unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.12 [method]input-stream.blocking-read
func streamRead(stream handle, n uint64, ret unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]input-stream
func inputDrop(stream handle)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.blocking-write-and-flush
func streamWrite(stream handle, p unsafe.Pointer, n uint32, ret unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]output-stream
func outputDrop(stream handle)

//go:wasmimport wasi:keyvalue/store@0.2.0-draft open
func open(name string, ret unsafe.Pointer)

//go:wasmimport wasi:keyvalue/store@0.2.0-draft [resource-drop]bucket
func bucketDrop(bucket handle)

//go:wasmimport wasi:keyvalue/atomics@0.2.0-draft increment
func increment(bucket handle, key string, delta uint64, ret unsafe.Pointer)

// ---- what the host writes into our memory

var given = map[unsafe.Pointer][]byte{} // what was asked for and not picked up yet

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	if size == 0 {
		return unsafe.Pointer(uintptr(align))
	}
	block := make([]byte, size+align)
	at := (uint32(uintptr(unsafe.Pointer(&block[0]))) + align - 1) &^ (align - 1)
	p := unsafe.Pointer(uintptr(at))
	given[p] = block
	return p
}

type pair struct {
	first, p, n uint32
}

// bytes picks up a list<u8> or string that the host wrote.
func (r *pair) bytes() []byte {
	if r.n == 0 {
		return nil
	}
	p := unsafe.Pointer(uintptr(r.p))
	delete(given, p)
	return unsafe.Slice((*byte)(p), r.n)
}

type result struct {
	failed uint8
	handle handle
	more   [8]uint32
}

// ---- HTTP

func respond(out handle, status uint32, body []byte) {
	var r result
	response := responseNew(fieldsNew())
	setStatus(response, status)
	responseBody(response, unsafe.Pointer(&r))
	sent := r.handle
	outparamSet(out, 0, response, 0, 0, 0, 0, 0, 0)
	bodyWrite(sent, unsafe.Pointer(&r))
	stream := r.handle
	for chunk := range slices.Chunk(body, 4096) {
		streamWrite(stream, unsafe.Pointer(&chunk[0]), uint32(len(chunk)), unsafe.Pointer(&r))
	}
	outputDrop(stream)
	bodyFinish(sent, 0, 0, unsafe.Pointer(&r))
}

type incoming struct{ body, stream handle }

func consume(request handle) *incoming {
	var r result
	requestConsume(request, unsafe.Pointer(&r))
	in := &incoming{body: r.handle}
	incomingStream(in.body, unsafe.Pointer(&r))
	in.stream = r.handle
	return in
}

func (in *incoming) Read(to []byte) (int, error) {
	var r pair
	streamRead(in.stream, uint64(len(to)), unsafe.Pointer(&r))
	if r.first&1 != 0 {
		return 0, io.EOF
	}
	return copy(to, r.bytes()), nil
}

func (in *incoming) Close() error {
	inputDrop(in.stream)
	incomingDrop(in.body)
	return nil
}

func count(key string) []byte {
	var opened result
	open("default", unsafe.Pointer(&opened))
	defer bucketDrop(opened.handle)
	var counted struct {
		failed uint64
		value  uint64
	}
	increment(opened.handle, key, 1, unsafe.Pointer(&counted))
	if counted.failed&1 != 0 {
		return []byte("no count\n")
	}
	return fmt.Appendf(nil, "count %d\n", counted.value)
}

func route(request handle, target string) (uint32, []byte) {
	path, query, _ := strings.Cut(target, "?")
	switch path {
	case "/hello":
		return 200, []byte("hello from go: " + query + "\n")
	case "/echo":
		in := consume(request)
		defer in.Close()
		all, _ := io.ReadAll(in)
		return 200, all
	case "/count":
		return 200, count(query)
	case "/together":
		return 200, together()
	case "/query":
		values, _ := url.ParseQuery(query)
		text, _ := json.Marshal(values)
		return 200, append(text, '\n')
	}
	return 404, []byte("no such route\n")
}

// together lets goroutines wait for each other, for a timer, and for the collector.
func together() []byte {
	var wg sync.WaitGroup
	words := make(chan string, 3)
	for i, word := range []string{"one", "two", "three"} {
		wg.Go(func() {
			time.Sleep(time.Duration(i*20) * time.Millisecond)
			words <- word
		})
	}
	wg.Wait()
	close(words)
	var all []string
	for word := range words {
		all = append(all, word)
	}
	return []byte(strings.Join(all, " ") + "\n")
}

//go:wasmexport wasi:http/incoming-handler@0.2.12#handle
func serve(request, out handle) {
	var path pair
	requestPath(request, unsafe.Pointer(&path))
	status, body := route(request, string(path.bytes()))
	respond(out, status, body)
	requestDrop(request)
}

func main() {}
