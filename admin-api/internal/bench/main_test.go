package bench

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"
	"testing"
)

var (
	into = flag.String("into", "", "file that the figures are added to: one flat JSON object; made if it is not there")

	mu       sync.Mutex
	measured = make(map[string]float64) // what TestMain writes at the end
)

// record keeps a figure and prints it beside its mark.
func record(name string, value float64, mark string) {
	mu.Lock()
	defer mu.Unlock()
	measured[name] = value
	fmt.Printf("%-32s %10.2f   %s\n", name, value, mark)
}

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		if err := serve(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	code := m.Run()
	if *into != "" && code == 0 && len(measured) > 0 {
		if err := add(*into, measured); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// add writes figures to a file beside those that it has.
func add(path string, figures map[string]float64) error {
	all := make(map[string]float64)
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the figures that there are: %w", err)
	}
	maps.Copy(all, figures)
	if content, err = json.MarshalIndent(all, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o644)
}
