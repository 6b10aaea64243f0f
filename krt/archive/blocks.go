package archive

import (
	"errors"
	"io"
)

const (
	blockSize  = 512
	maxPadding = 4 << 20 // zero bytes that may follow the end of the tar; GNU tar's largest usual record is 1 MiB
)

// blockReader is what the tar reader reads from. It knows whether the bytes came to their end.
type blockReader struct {
	r     io.Reader
	read  int64
	ended bool // somebody wanted more and there was none
}

func (b *blockReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.read += int64(n)
	if n == 0 && errors.Is(err, io.EOF) {
		b.ended = true
	}
	return n, err
}

// drain reads what follows the end of the tar, which may only be a little padding.
func (b *blockReader) drain() error {
	buf := make([]byte, 32<<10)
	for padding := 0; padding <= maxPadding; {
		n, err := b.r.Read(buf)
		for _, c := range buf[:n] {
			if c != 0 {
				return trailing()
			}
		}
		padding += n
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return trailing()
}
