package worker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	workerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/worker/v1"
)

const (
	lengthBytes = 4
	// frameRoom is what a frame may have beyond the largest output: names, or the texts of a record.
	frameRoom = 2 << 20
	readAhead = 64 << 10
)

// reader reads the frames of a worker.
type reader struct {
	in     *bufio.Reader
	limit  int
	buffer []byte
}

func newReader(in io.Reader, limit int) *reader {
	return &reader{in: bufio.NewReaderSize(in, readAhead), limit: limit}
}

// errProtocol says that a worker sent what is no frame.
var errProtocol = errors.New("the worker does not speak the worker protocol")

// next returns the next frame; io.EOF says that the worker has closed the socket between two.
func (r *reader) next() (*workerv1.FromWorker, error) {
	var header [lengthBytes]byte
	if _, err := io.ReadFull(r.in, header[:]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint32(header[:]))
	if length > r.limit {
		return nil, fmt.Errorf("%w: a frame of %d bytes, want at most %d", errProtocol, length, r.limit)
	}
	if cap(r.buffer) < length || cap(r.buffer) > readAhead && length <= readAhead {
		r.buffer = make([]byte, max(length, readAhead)) // one large frame is no reason to keep its room
	}
	body := r.buffer[:length]
	if _, err := io.ReadFull(r.in, body); err != nil {
		return nil, err
	}
	frame := new(workerv1.FromWorker)
	if err := proto.Unmarshal(body, frame); err != nil {
		return nil, fmt.Errorf("%w: %w", errProtocol, err)
	}
	return frame, nil
}

// writer writes frames to a worker without ever having its caller wait. Frames that are sent one behind the other go together.
type writer struct {
	out *os.File

	mu     sync.Mutex
	behind []byte     // what is to be written
	more   *sync.Cond // something is, or the writer has ended
	ended  bool
}

func newWriter(out *os.File) *writer {
	w := &writer{out: out}
	w.more = sync.NewCond(&w.mu)
	go w.follow()
	return w
}

// send writes a frame. That it cannot be written is no error: the end of its process says so.
func (w *writer) send(frame *workerv1.ToWorker) {
	size := proto.Size(frame)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	before := len(w.behind)
	buffer := binary.BigEndian.AppendUint32(slices.Grow(w.behind, lengthBytes+size), uint32(size))
	buffer, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(buffer, frame)
	if err != nil {
		return // its texts are valid: they come from frames and headers
	}
	w.behind = buffer
	if before == 0 {
		w.more.Signal()
	}
}

// follow writes what is behind.
func (w *writer) follow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var spare []byte
	for {
		for len(w.behind) == 0 && !w.ended {
			w.more.Wait()
		}
		if w.ended {
			return
		}
		chunk := w.behind
		w.behind = spare[:0]
		w.mu.Unlock()
		_, err := w.out.Write(chunk)
		w.mu.Lock()
		if err != nil {
			w.ended = true
			w.behind = nil
			return
		}
		spare = nil
		if cap(chunk) <= readAhead { // one large frame is no reason to keep its room
			spare = chunk
		}
	}
}

func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.more.Signal()
}
