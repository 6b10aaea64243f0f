package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// Reader yields the files of a package one after the other, as they arrive, and refuses a package as soon as it can be
// known to be bad. What it has yielded is only known to be good when [Reader.Next] has answered io.EOF.
type Reader struct {
	blocks *blockReader
	tar    *tar.Reader
	paths  *pathSet
	limits Limits

	files   []File
	bytes   int64
	open    *tar.Header // the file that is being read; nil before the first and after the last
	current File
	sum     hash.Hash
	err     error // what every further call answers
}

// NewReader reads the package in r. It refuses what is not gzip at once.
func NewReader(r io.Reader, limits Limits) (*Reader, error) {
	unzipped, err := newMembers(r)
	switch {
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, io.EOF):
		return nil, refuse(ErrNotGzip, "", "this is not a .krt: it is not compressed with gzip")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, truncated()
	case err != nil:
		return nil, fmt.Errorf("read the package: %w", err)
	}
	blocks := &blockReader{r: unzipped}
	limits = limits.orDefaults()
	return &Reader{
		blocks: blocks, tar: tar.NewReader(blocks),
		paths: newPathSet(limits.MaxEntries), limits: limits, sum: sha256.New(),
	}, nil
}

// Next goes on to the next file, whose content [Reader.Read] then gives; its SHA256 is not known yet and empty. At the
// end of a good package it answers io.EOF; a bad one is a [Refusal], and anything else an error of the reader below.
func (r *Reader) Next() (File, error) {
	if r.err != nil {
		return File{}, r.err
	}
	file, err := r.next()
	if err != nil {
		r.err = err
		return File{}, err
	}
	return file, nil
}

func (r *Reader) next() (File, error) {
	if r.open != nil {
		if _, err := io.Copy(io.Discard, readerOnly{r}); err != nil {
			return File{}, err
		}
	}
	for {
		header, err := r.tar.Next()
		if errors.Is(err, io.EOF) {
			return File{}, r.end()
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // admit says that better
			return File{}, r.wrap(err)
		}
		isFile, err := r.admit(header)
		if err != nil {
			return File{}, err
		}
		if isFile {
			return r.begin(header)
		}
	}
}

// admit reports whether the entry is a file to be yielded, and refuses what may not be in a package.
func (r *Reader) admit(header *tar.Header) (bool, error) {
	switch header.Typeflag {
	case tar.TypeXGlobalHeader: // a comment, as `git archive` writes it
		return false, nil
	case tar.TypeSymlink, tar.TypeLink:
		return false, refuse(ErrLink, header.Name,
			"entry %q is a link: a package holds files only (kre pack stores what a link points to)", header.Name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return false, refuse(ErrSpecial, header.Name,
			"entry %q is a device or a pipe: a package holds files only", header.Name)
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeDir:
	default:
		return false, refuse(ErrSpecial, header.Name,
			"entry %q is of the unknown kind %q: a package holds files only", header.Name, header.Typeflag)
	}
	folder := header.Typeflag == tar.TypeDir
	path, err := cleanPath(header.Name)
	if err != nil {
		return false, err
	}
	if path == "." {
		if folder {
			return false, nil
		}
		return false, refuse(ErrName, header.Name, "entry %q is a file without a name", header.Name)
	}
	if err := r.paths.add(path, folder, header.Name); err != nil {
		return false, err
	}
	if folder {
		return false, nil
	}
	if r.bytes+header.Size > r.limits.MaxBytes || r.bytes+header.Size < 0 {
		return false, refuse(ErrTooLarge, header.Name,
			"the package unpacks to more than %d bytes, the limit, at entry %q", r.limits.MaxBytes, header.Name)
	}
	if err := r.paths.keep(path, header.Size, header.Name); err != nil {
		return false, err
	}
	r.current = File{Path: path, Executable: header.Mode&0o111 != 0, Size: header.Size}
	return true, nil
}

func (r *Reader) begin(header *tar.Header) (File, error) {
	r.open = header
	r.bytes += header.Size
	r.sum.Reset()
	return r.current, nil
}

// Read gives the content of the file that [Reader.Next] went to, and io.EOF at its end.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.open == nil {
		return 0, io.EOF
	}
	n, err := r.tar.Read(p)
	r.sum.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF):
		r.current.SHA256 = hex.EncodeToString(r.sum.Sum(nil))
		r.files = append(r.files, r.current)
		r.open = nil
		return n, io.EOF
	case err != nil:
		r.err = r.wrap(err)
		return n, r.err
	}
	return n, nil
}

// Package tells what the whole package is, once [Reader.Next] has answered io.EOF; before that it is nil.
func (r *Reader) Package() *Package {
	if !errors.Is(r.err, io.EOF) {
		return nil
	}
	return newPackage(r.files)
}

// end checks what only the end can show and answers io.EOF if all is well.
func (r *Reader) end() error {
	if r.blocks.ended { // by itself, not by the mark that ends a tar
		if r.blocks.read == 0 {
			return refuse(ErrNotTar, "", "this is not a .krt: what it unpacks to is not a tar archive")
		}
		return truncated()
	}
	if err := r.blocks.drain(); err != nil {
		return r.wrap(err)
	}
	if err := r.paths.checkManifest(); err != nil {
		return err
	}
	return io.EOF
}

// wrap turns what the tar and gzip readers say into what the person who made the package can use.
func (r *Reader) wrap(err error) error {
	var corrupt flate.CorruptInputError
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		if r.blocks.eof && r.blocks.read < blockSize {
			return refuse(ErrNotTar, "", "this is not a .krt: what it unpacks to is not a tar archive")
		}
		return truncated()
	case errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return refuse(ErrDamaged, "", "the package is damaged: its content does not match its checksum")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		if r.blocks.read <= blockSize {
			return refuse(ErrNotTar, "", "this is not a .krt: what it unpacks to is not a tar archive")
		}
		return refuse(ErrDamaged, "", "the package is damaged: an entry's header cannot be read")
	}
	return fmt.Errorf("read the package: %w", err)
}

func truncated() error {
	return refuse(ErrTruncated, "", "the package is truncated: it ends before its last entry does")
}

func trailing() error {
	return refuse(ErrTrailing, "", "the package goes on after its end: bytes follow the archive")
}

// readerOnly hides everything but Read, so that io.Copy cannot take another way.
type readerOnly struct{ io.Reader }
