// Package bench measures what a user waits for and what a machine carries, with the built programs. `make bench` runs it;
// every figure is printed and written to a file. A figure that misses its mark fails nothing: machines differ.
package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
)

// figures are the measured numbers by name.
type figures struct {
	mu     sync.Mutex
	values map[string]float64
}

var (
	out      = flag.String("out", "", "file the figures are written to, as one flat JSON object")
	measured = figures{values: make(map[string]float64)} // what TestMain writes at the end
)

// record keeps a figure and prints it beside its mark.
func record(b *testing.B, name string, value float64, mark string) {
	b.Helper()
	measured.mu.Lock()
	defer measured.mu.Unlock()
	measured.values[name] = value
	fmt.Printf("%-32s %10.2f   %s\n", name, value, mark)
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "unpack" {
		os.Exit(unpack(os.Args[2], os.Args[3]))
	}
	if len(os.Args) > 1 && os.Args[1] == bareNode {
		fmt.Fprintln(os.Stderr, "bare node:", runBareNode(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	flag.Parse()
	code := m.Run()
	if *out != "" && code == 0 {
		content, err := json.MarshalIndent(measured.values, "", "  ")
		if err == nil {
			err = os.WriteFile(*out, append(content, '\n'), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
