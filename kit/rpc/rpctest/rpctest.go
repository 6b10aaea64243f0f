// Package rpctest has what callers need that send what they like.
package rpctest

import (
	stdgzip "compress/gzip"
	"io"

	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
)

// Bytes is a codec for messages that are sent as the bytes that they are; answers are not read.
type Bytes struct{}

// Name implements encoding.CodecV2.
func (Bytes) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (Bytes) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (Bytes) Unmarshal(mem.BufferSlice, any) error { return nil }

// PackedAlready is gzip of callers who send what they have packed before: packing takes longer than the attacks.
type PackedAlready struct{}

// Name implements encoding.Compressor.
func (PackedAlready) Name() string { return gzip.Name }

// Compress implements encoding.Compressor.
func (PackedAlready) Compress(w io.Writer) (io.WriteCloser, error) { return asItIs{w}, nil }

// Decompress implements encoding.Compressor.
func (PackedAlready) Decompress(r io.Reader) (io.Reader, error) { return stdgzip.NewReader(r) }

type asItIs struct{ io.Writer }

func (asItIs) Close() error { return nil }
