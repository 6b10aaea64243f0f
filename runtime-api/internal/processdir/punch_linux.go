package processdir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

// punch gives back the disk of a file up to an offset. A file system that cannot do that keeps it.
func punch(name string, end int64) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("free the disk of a log: %w", err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	err = unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, end)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("free the disk of log %s: %w", name, err)
	}
	return nil
}

// firstData is where the first line begins that is whole and whose disk has not been given back.
func firstData(name string) (int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, fmt.Errorf("read a log: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	offset, err := unix.Seek(int(file.Fd()), 0, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // empty
		return 0, nil
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read log %s: %w", name, err)
	case offset == 0:
		return 0, nil
	}
	content := make([]byte, logbook.MaxRecord)
	n, err := file.ReadAt(content, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read log %s: %w", name, err)
	}
	return offset + int64(bytes.IndexByte(content[:n], '\n')) + 1, nil
}
