package launch

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// digest is that of a file's content.
func digest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	return digestOf(f)
}

func digestOf(f *os.File) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// runners are the runners that were read: one of them runs many nodes, and is large.
var runners = digests{known: make(map[string]seen)}

// digests remembers digests of files, as long as neither size nor time changes.
type digests struct {
	mu    sync.Mutex
	known map[string]seen // by path
}

// seen is a file as it was read.
type seen struct {
	size   int64
	time   time.Time
	digest string
}

func (d *digests) digest(file string) (string, error) {
	d.mu.Lock() // held while it is read: the others wait for the same
	defer d.mu.Unlock()
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	var info fs.FileInfo
	if info, err = f.Stat(); err != nil { // of what is read, whatever is put in its place meanwhile
		return "", err
	}
	if known, ok := d.known[file]; ok && known.size == info.Size() && known.time.Equal(info.ModTime()) {
		return known.digest, nil
	}
	fresh := seen{size: info.Size(), time: info.ModTime()}
	if fresh.digest, err = digestOf(f); err != nil {
		return "", err
	}
	d.known[file] = fresh
	return fresh.digest, nil
}
