package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/konstellation-io/kre/kit/budget"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/log"
)

const (
	// smallBytes is what a message may take without being counted: of a stream so much is held whether it is read or not.
	smallBytes = 64 << 10
	// smallCost is what a message may take once it is read without being counted.
	smallCost = 256 << 10
	// messagePatience is how long a message whose beginning has arrived, or the only one of a unary call, may take.
	messagePatience = time.Minute
)

// wire is what a message is read from before anything is made of it. What grpc gives for a stream has these methods.
// grpc's own way to receive would take any message in, as large as the largest one that any method takes, and would unpack
// it, before anybody could say no.
type wire interface {
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error)
	RecvCompress() string
}

// wireOf returns nil where there is none.
func wireOf(ctx context.Context) wire {
	w, _ := grpc.ServerTransportStreamFromContext(ctx).(wire)
	return w
}

// receiver takes the messages of one call in, one after the other.
type receiver struct {
	from   wire
	limit  int  // of one message, in bytes, as sent and once unpacked
	unary  bool // there is one message
	share  *budget.Share
	room   *room
	ended  error
	header [5]byte
}

// room is where large messages are put before they are read, one after the other: a new place for each would have to be
// collected first.
type room struct{ free sync.Pool }

// get returns room for so many bytes.
func (r *room) get(size int64) []byte {
	if size > smallBytes {
		if free, ok := r.free.Get().(*[]byte); ok && int64(cap(*free)) >= size {
			return (*free)[:0]
		}
	}
	return make([]byte, 0, size)
}

// put gives it back when nobody looks at it any more.
func (r *room) put(data []byte) {
	if cap(data) > smallBytes {
		r.free.Put(&data)
	}
}

// receive reads the next message. What it takes is counted until the next one is asked for, or the call ends.
func (r *receiver) receive(ctx context.Context, into proto.Message) error {
	if r.ended != nil {
		return r.ended
	}
	r.share.Shrink(0)
	// Reading ends with the stream, that is, after this call has been answered; it cannot be made to end before.
	type arrived struct {
		data []byte
		err  error
	}
	come := make(chan arrived, 1)
	began := make(chan struct{})
	go func() {
		data, err := r.next(ctx, began)
		come <- arrived{data, err}
	}()
	beginning := began
	if r.unary {
		beginning = nil // the message is due at once
	}
	var late <-chan time.Time
	for {
		if beginning == nil && late == nil {
			timer := time.NewTimer(messagePatience)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case message := <-come:
			if message.err == nil {
				message.err = r.read(ctx, message.data, into)
				r.room.put(message.data)
			}
			r.ended = message.err
			return message.err
		case <-beginning:
			beginning = nil
		case <-late:
			r.ended = fault.New(fault.Invalid, "the message did not arrive whole within %s; send it again", messagePatience)
			return r.ended
		case <-ctx.Done():
			r.ended = ctx.Err()
			return r.ended
		}
	}
}

// next returns the bytes of the next message, unpacked; began is closed when its first ones are there.
func (r *receiver) next(ctx context.Context, began chan<- struct{}) ([]byte, error) {
	if err := r.from.ReadMessageHeader(r.header[:]); err != nil {
		if errors.Is(err, io.EOF) && r.unary {
			return nil, fault.New(fault.Invalid, "the call has no message; a unary call has one")
		}
		return nil, broken(err)
	}
	close(began)
	packed, size := r.header[0], int64(binary.BigEndian.Uint32(r.header[1:]))
	if size > int64(r.limit) {
		return nil, r.tooLarge(size)
	}
	if size > smallBytes {
		// As it comes in, and in one piece; then in one piece, and as what most messages become. What is taken before is not
		// waited for while others wait for this one.
		if err := r.share.Grow(ctx, 2*size+smallCost); err != nil {
			return nil, err
		}
	}
	buffers, err := r.from.Read(int(size))
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, broken(err)
	}
	defer buffers.Free()
	switch packed {
	case 0:
		data := r.room.get(size)[:size]
		buffers.CopyTo(data)
		return data, nil
	case 1:
		return r.unpack(ctx, buffers)
	}
	return nil, fault.New(fault.Invalid, "the message begins with byte %d; want 0, or 1 for one that is compressed", packed)
}

// broken is the error of a stream that was cut.
func broken(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.Wrap(fault.Invalid, err, "the message did not arrive whole; send it again")
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var known interface{ GRPCStatus() *status.Status }
	if errors.As(err, &known) {
		return err
	}
	return status.Error(codes.Canceled, "the caller has gone")
}

func (r *receiver) tooLarge(size int64) error {
	return fault.New(fault.Exhausted, "the message has %d bytes; this method takes %d", size, r.limit)
}

// unpack undoes a compression, no further than the limit.
func (r *receiver) unpack(ctx context.Context, from mem.BufferSlice) ([]byte, error) {
	name := r.from.RecvCompress()
	compressor := encoding.GetCompressor(name)
	if compressor == nil || name == encoding.Identity {
		return nil, status.Errorf(codes.Unimplemented, "messages compressed as %q cannot be read; send them as they are", log.Cut(name))
	}
	size, err := unpacked(compressor, from, io.Discard, r.limit)
	if err == nil && size > smallBytes {
		err = r.share.Grow(ctx, int64(from.Len())+2*size+smallCost)
	}
	if err != nil {
		return nil, err
	}
	// It is unpacked twice, so that it is known how much it takes, and nothing is taken that grows.
	whole := bytes.NewBuffer(r.room.get(size + bytes.MinRead)) // a buffer with less to spare grows before it sees the end
	if _, err := unpacked(compressor, from, whole, r.limit); err != nil {
		return nil, err
	}
	return whole.Bytes(), nil
}

// unpacked undoes a compression, no further than the limit, and returns how many bytes there are.
func unpacked(compressor encoding.Compressor, from mem.BufferSlice, into io.Writer, limit int) (int64, error) {
	reader := from.Reader()
	defer reader.Close() //nolint:errcheck // there is nothing that could fail
	source, err := compressor.Decompress(reader)
	if err != nil {
		return 0, fault.Wrap(fault.Invalid, err, "the message is not compressed as it says")
	}
	if closer, ok := source.(io.Closer); ok {
		defer closer.Close() //nolint:errcheck // what there was to read has been read
	}
	size, err := io.Copy(into, io.LimitReader(source, int64(limit)+1))
	switch {
	case err != nil:
		return 0, fault.Wrap(fault.Invalid, err, "the message is not compressed as it says")
	case size > int64(limit):
		return 0, fault.New(fault.Exhausted, "the message has more than %d bytes once it is unpacked, which is what this method takes", limit)
	}
	return size, nil
}

// read makes a message of its bytes, if it is not nested too deeply and there is room for what it becomes.
func (r *receiver) read(ctx context.Context, data []byte, into proto.Message) error {
	cost, err := weigh(data, into.ProtoReflect().Descriptor(), r.share.Most())
	if err != nil {
		return err
	}
	if cost > smallCost {
		r.share.Shrink(int64(len(data)) + cost)
		if err := r.share.Grow(ctx, int64(len(data))+cost); err != nil {
			return err
		}
	}
	if err := proto.Unmarshal(data, into); err != nil {
		return fault.Wrap(fault.Invalid, err, "the message is no %s", into.ProtoReflect().Descriptor().FullName())
	}
	if cost > smallCost {
		r.share.Shrink(cost)
	} else {
		r.share.Shrink(0)
	}
	return nil
}
