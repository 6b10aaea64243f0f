package broker

import (
	"bytes"
	"compress/gzip"
	"io"

	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

const (
	gzipEncoding = "gzip"
	// logHeaders is room for what a message holds beside a line.
	logHeaders = 4 << 10
)

// compressed is a long line as it is stored: what makes one long are escaped characters, which become short again.
func compressed(line []byte) []byte {
	var to bytes.Buffer
	w, _ := gzip.NewWriterLevel(&to, gzip.BestSpeed) // a level that there is
	_, _ = w.Write(line)                             // into memory
	_ = w.Close()
	return to.Bytes()
}

// decompressed is the line again, or what is stored where that is none.
func decompressed(data []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return data
	}
	line, err := io.ReadAll(io.LimitReader(r, logbook.MaxRecord))
	if err != nil {
		return data
	}
	return line
}
