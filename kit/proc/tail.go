package proc

import (
	"bytes"
	"io"
	"os"
)

// firstTail is how far back the last lines of a log file are looked for, and lastTail how far where no whole line ends there.
const (
	firstTail = 64 << 10
	lastTail  = DefaultMaxLine + firstTail
)

// lastLines are the last lines of a log file, at most so many and each cut after limit bytes, as far as they stand after
// the offset from and within the last 64 KiB; a last one that is longer is one, too. Where the disk of the file has been
// freed there are none. A file that cannot be read has none either.
func lastLines(name string, from int64, limit, count int) []string {
	file, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer closeAll(file)
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	var content []byte
	for far := int64(firstTail); ; far = min(2*far, lastTail) {
		begin := max(from, info.Size()-far)
		content, err = io.ReadAll(io.NewSectionReader(file, begin, info.Size()-begin))
		if err != nil {
			return nil
		}
		if hole := bytes.LastIndexByte(content, 0); hole >= 0 {
			content = content[hole+1:]
			break
		}
		if begin == from {
			break
		}
		// The first line is not whole.
		if first := bytes.IndexByte(content, '\n'); first >= 0 && first < len(content)-1 {
			content = content[first+1:]
			break
		}
		if far == lastTail {
			break
		}
	}
	kept := newTail(count)
	s := splitter{limit: limit, emit: func(text string, _ int) { kept.add(text) }}
	s.write(content)
	s.flush()
	return kept.all()
}
