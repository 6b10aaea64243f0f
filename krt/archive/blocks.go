package archive

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

const (
	blockSize  = 512
	maxPadding = 4 << 20 // zero bytes that may follow the end of the tar; GNU tar's largest usual record is 1 MiB
)

// blockReader is what the tar reader reads from. It knows whether the bytes came to their end.
type blockReader struct {
	r     io.Reader
	read  int64
	eof   bool // all there is has been read
	ended bool // somebody wanted more and there was none
}

func (b *blockReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.read += int64(n)
	if errors.Is(err, io.EOF) {
		b.eof, b.ended = true, n == 0
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

// members reads gzip data, which may consist of several members, one after the other.
type members struct {
	in    *bufio.Reader
	one   *gzip.Reader
	ended bool  // the member that was read last
	err   error // what every further call answers
}

func newMembers(r io.Reader) (*members, error) {
	in := bufio.NewReaderSize(r, copyBuffer)
	one, err := gzip.NewReader(in) // reads no more of in than the member
	if err != nil {
		return nil, err
	}
	one.Multistream(false)
	return &members{in: in, one: one}, nil
}

func (m *members) Read(p []byte) (int, error) {
	for m.err == nil && len(p) > 0 {
		if m.ended {
			m.err = m.next()
			continue
		}
		n, err := m.one.Read(p)
		if errors.Is(err, io.EOF) {
			m.ended = true
		} else {
			m.err = err
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, m.err
}

// next goes on to the next member; io.EOF if there is none.
func (m *members) next() error {
	if _, err := m.in.Peek(1); err != nil {
		return err
	}
	err := m.one.Reset(m.in)
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return trailing()
	}
	m.one.Multistream(false)
	m.ended = false
	return err
}
