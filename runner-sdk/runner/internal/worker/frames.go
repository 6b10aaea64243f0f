package worker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
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

// writer writes frames to a worker without ever waiting: what its socket does not take at once is written behind.
type writer struct {
	out *os.File

	mu     sync.Mutex
	behind []byte
	more   *sync.Cond // something is behind, or the writer has ended
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
	buffer := make([]byte, lengthBytes, lengthBytes+size)
	binary.BigEndian.PutUint32(buffer, uint32(size))
	buffer, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(buffer, frame)
	if err != nil {
		return // its texts are valid: they come from frames and headers
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	if len(w.behind) == 0 {
		buffer = buffer[w.atOnce(buffer):]
	}
	if len(buffer) > 0 {
		w.behind = append(w.behind, buffer...)
		w.more.Signal()
	}
}

// atOnce writes what the socket takes now.
func (w *writer) atOnce(buffer []byte) int {
	raw, err := w.out.SyscallConn()
	if err != nil {
		return 0
	}
	written := 0
	_ = raw.Write(func(fd uintptr) bool {
		for written < len(buffer) {
			n, err := unix.Write(int(fd), buffer[written:])
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n <= 0 {
				break
			}
			written += n
		}
		return true
	})
	return written
}

// follow writes what is behind.
func (w *writer) follow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.behind) == 0 && !w.ended {
			w.more.Wait()
		}
		if w.ended {
			return
		}
		chunk := w.behind[:min(len(w.behind), readAhead)]
		w.mu.Unlock()
		n, err := w.out.Write(chunk)
		w.mu.Lock()
		if err != nil {
			w.ended = true
			w.behind = nil
			return
		}
		if w.behind = w.behind[n:]; len(w.behind) == 0 {
			w.behind = nil
		}
	}
}

func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.more.Signal()
}
