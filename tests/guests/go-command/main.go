// SPDX-License-Identifier: Apache-2.0
// Go for WASI 0.1 through the public adapter: the same story as the other commands here, with a goroutine that sleeps.
package main

import (
	"bufio"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"
)

func main() {
	fmt.Println("arguments", strings.Join(os.Args[1:], ","))
	env := os.Environ()
	sort.Strings(env)
	fmt.Println("environment", strings.Join(env, ","))
	lines := 0
	for in := bufio.NewScanner(os.Stdin); in.Scan(); lines++ {
		fmt.Println("line", strings.ToUpper(in.Text()))
	}
	start := time.Now()
	done := make(chan string)
	go func() {
		time.Sleep(20 * time.Millisecond)
		done <- "woken"
	}()
	fmt.Println(<-done, time.Since(start) >= 20*time.Millisecond)
	if len(os.Args) > 1 {
		if text, err := os.ReadFile(os.Args[1]); err == nil {
			fmt.Printf("file %q\n", text)
		} else {
			fmt.Println("no file: NotFound")
		}
	}
	fmt.Fprintln(os.Stderr, "ends")
	if lines > 0 {
		os.Exit(1)
	}
}
