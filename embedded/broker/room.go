package broker

import (
	"crypto/rand"
	"os"
	"path/filepath"
)

const (
	// enoughRoom is what has to be free before the broker stores again after its disk has been full.
	enoughRoom = 2 * MaxPayload
	probeSize  = 1 << 20
)

// room tells whether there is enough in a directory. An error says why it takes no data at all.
func room(dir string) (enough bool, err error) {
	free, err := available(dir)
	if err != nil {
		return false, err
	}
	return free >= enoughRoom, probe(filepath.Join(dir, ".probe"))
}

// probe writes a file to the disk and removes it.
func probe(name string) error {
	content := make([]byte, probeSize)
	_, _ = rand.Read(content) // never fails; zeros might take no room
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if e := os.Remove(name); err == nil {
		err = e
	}
	return err
}
