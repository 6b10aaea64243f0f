package pyenv

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/konstellation-io/kre/host/carried"
)

// sdkName is the normalised name of the Python SDK itself, whose wheel always is the carried one.
const sdkName = "kre-sdk"

// wheel is a wheel that kre carries.
type wheel struct {
	name    string // of the file
	project string // normalised
	version string
	data    []byte
}

// carriedWheels reads the wheels of the SDK and what it needs, and with dev those of pytest as well.
func carriedWheels(dev bool) ([]wheel, error) {
	folder, err := carried.Wheels()
	if err != nil {
		return nil, err
	}
	wheels, err := readWheels(folder)
	if err != nil || !dev {
		return wheels, err
	}
	if folder, err = carried.DevWheels(); err != nil {
		return nil, err
	}
	more, err := readWheels(folder)
	return append(wheels, more...), err
}

// carriedInstaller reads the wheel of what puts wheels into environments.
func carriedInstaller() (wheel, error) {
	folder, err := carried.Installer()
	if err != nil {
		return wheel{}, err
	}
	wheels, err := readWheels(folder)
	if err != nil {
		return wheel{}, err
	}
	return wheels[0], nil
}

func readWheels(folder fs.FS) ([]wheel, error) {
	names, err := fs.Glob(folder, "*.whl")
	if err != nil {
		return nil, fmt.Errorf("read the carried wheels: %w", err)
	}
	wheels := make([]wheel, 0, len(names))
	for _, name := range names {
		data, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, fmt.Errorf("read the carried wheels: %w", err)
		}
		parts := strings.SplitN(name, "-", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("read the carried wheels: %q is not the name of a wheel", name)
		}
		wheels = append(wheels, wheel{name: name, project: normalise(parts[0]), version: parts[1], data: data})
	}
	return wheels, nil
}

// digestOf changes whenever one of the wheels does.
func digestOf(wheels []wheel) string {
	sum := sha256.New()
	for _, w := range wheels {
		one := sha256.Sum256(w.data)
		fmt.Fprintf(sum, "%s %x\n", w.name, one)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

var requiresLine = regexp.MustCompile(`(?m)^Requires-Dist: *([^;\r\n]+?) *$`) // without extras, which have a marker

// sdkRequires answers what the SDK's wheel requires, as lines of a requirements file.
func sdkRequires(wheels []wheel) ([]string, error) {
	for _, w := range wheels {
		if w.project != sdkName {
			continue
		}
		text, err := metadata(w)
		if err != nil {
			return nil, fmt.Errorf("read what %s requires: %w", w.name, err)
		}
		var lines []string
		for _, match := range requiresLine.FindAllStringSubmatch(text, -1) {
			lines = append(lines, match[1])
		}
		return lines, nil
	}
	return nil, carried.ErrMissing
}

func metadata(w wheel) (string, error) {
	content, err := zip.NewReader(bytes.NewReader(w.data), int64(len(w.data)))
	if err != nil {
		return "", err
	}
	for _, file := range content.File {
		if ok, _ := path.Match("*.dist-info/METADATA", file.Name); !ok {
			continue
		}
		in, err := file.Open()
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(in)
		_ = in.Close() // only read
		return string(text), err
	}
	return "", fmt.Errorf("it holds no METADATA")
}
