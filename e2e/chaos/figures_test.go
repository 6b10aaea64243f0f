// Package chaos puts the engine under load and kills its services, with the built programs. `make chaos` runs it: what was
// seen is printed and written to a file, and what must never happen fails it.
package chaos

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

var (
	out      = flag.String("out", "", "file the figures are written to, as one flat JSON object")
	duration = flag.Duration("duration", time.Minute, "how long each loop of load goes on")

	mu      sync.Mutex
	figures = make(map[string]float64)
)

// record keeps a figure and prints it beside what it has to be.
func record(t *testing.T, name string, value float64, mark string) {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	figures[name] = value
	fmt.Printf("%-36s %10.2f   %s\n", name, value, mark)
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if *out != "" {
		content, err := json.MarshalIndent(figures, "", "  ")
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
