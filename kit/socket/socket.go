// Package socket gives the programs of one user places to meet that nobody else can take: sockets in the file system, in folders that
// only their owner can write to. Who listens at a port of this machine may be anybody; who listens at such a socket was let
// into the folder.
//
// An address is unix:PATH, or HOST:PORT wherever the others of this package say so.
package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const scheme = "unix:"

// At is the address of the socket at an absolute path.
func At(path string) string { return scheme + path }

// Address is that of a socket at a path, which is made absolute.
func Address(path string) (string, error) {
	path, err := filepath.Abs(path)
	return At(path), err
}

// Path is that of the socket at an address; false: it is the address of something else.
func Path(address string) (string, bool) { return strings.CutPrefix(address, scheme) }

// Listen listens at an address of either form. The folder of a socket is made where it is not there, for its owner only; a socket
// that somebody has left is replaced, one at which somebody listens is not. The socket stays when the listener is closed.
func Listen(address string) (net.Listener, error) {
	path, ok := Path(address)
	if !ok {
		return net.Listen("tcp", address)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of a socket: %w", err)
	}
	if err := private(path); err != nil {
		return nil, err
	}
	if err := removeLeft(path); err != nil {
		return nil, err
	}
	short, release, err := Short(path)
	if err != nil {
		return nil, err
	}
	defer release()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen at the socket %s: %w", path, err)
	}
	// The next one may listen there already when this one is closed.
	listener.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen at the socket %s: %w", path, err), listener.Close())
	}
	return &named{UnixListener: listener, path: path}, nil
}

// named is a listener that tells its own path, however it was bound.
type named struct {
	*net.UnixListener
	path string
}

// Addr implements net.Listener.
func (n *named) Addr() net.Addr { return &net.UnixAddr{Name: n.path, Net: "unix"} }

// removeLeft removes a socket at which nobody listens any more.
func removeLeft(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a socket: %w", err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s is no socket, and is left as it is", path)
	}
	conn, err := dial(context.Background(), path)
	if err == nil {
		_ = conn.Close() // it has told what it can
		return fmt.Errorf("listen at the socket %s: %w", path, syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a socket that was left: %w", err)
	}
	return nil
}

// Dial connects to an address of either form. A socket in a folder that others can write to is refused: anybody may have put
// it there.
func Dial(ctx context.Context, address string) (net.Conn, error) {
	path, ok := Path(address)
	if !ok {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
	if err := private(path); err != nil {
		return nil, err
	}
	return dial(ctx, path)
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	short, release, err := Short(path)
	if err != nil {
		return nil, err
	}
	defer release()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", short)
	if err != nil {
		return nil, fmt.Errorf("connect to the socket %s: %w", path, err)
	}
	return conn, nil
}

// private tells what is wrong with the folder of a socket.
func private(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look for the folder of a socket: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others can write to the folder of the socket %s: chmod go-w %s", path, dir)
	}
	return nil
}

// Dialer connects like Dial, in the form in which drivers ask for it.
type Dialer struct{}

// DialContext connects to an address of a network that package net knows. Of "unix" it is a path.
func (Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "unix" {
		return Dial(ctx, At(address))
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}
