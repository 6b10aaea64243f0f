package proc

import (
	"debug/elf"
	"debug/macho"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// explain says what is wrong with a program that the operating system would not start, where its own words mislead.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		if target := builtFor(path); target != "" {
			return fmt.Errorf("%s is built for %s, and this machine is %s/%s", path, target, runtime.GOOS, runtime.GOARCH)
		}
		return fmt.Errorf("%s is no program for this machine (%s/%s), and no script either: it does not begin with #! and an interpreter",
			path, runtime.GOOS, runtime.GOARCH)
	case errors.Is(err, fs.ErrNotExist):
		if _, statErr := os.Stat(path); statErr == nil {
			return fmt.Errorf("%s is there, but what should interpret it is not (%s): %w", path, interpreter(path), err)
		}
		return fmt.Errorf("%s does not exist: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s is not executable (chmod +x?): %w", path, err)
	}
	return err
}

// builtFor is the platform of an executable file, "" where it is none that is known.
func builtFor(path string) string {
	if f, err := elf.Open(path); err == nil {
		defer f.Close() //nolint:errcheck // only read
		arch := strings.ToLower(strings.TrimPrefix(f.Machine.String(), "EM_"))
		known := map[string]string{"x86_64": "amd64", "aarch64": "arm64", "386": "386", "riscv": "riscv64"}
		if name, ok := known[arch]; ok {
			arch = name
		}
		return "linux/" + arch
	}
	if f, err := macho.Open(path); err == nil {
		defer f.Close() //nolint:errcheck // only read
		return "darwin/" + strings.ToLower(strings.TrimPrefix(f.Cpu.String(), "Cpu"))
	}
	if f, err := macho.OpenFat(path); err == nil {
		defer f.Close() //nolint:errcheck // only read
		return "darwin"
	}
	return ""
}

// interpreter is what the first line of a script names, or the loader an ELF file asks for.
func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close() //nolint:errcheck // only read
	head := make([]byte, 256)
	n, err := f.Read(head)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	if rest, ok := strings.CutPrefix(line, "#!"); ok {
		return strings.TrimSpace(rest)
	}
	return "the dynamic loader it was linked for"
}
