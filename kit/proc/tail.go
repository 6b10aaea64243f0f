package proc

import (
	"bytes"
	"io"
	"os"
)

// tailBytes is how far back the last lines of a log file are looked for.
const tailBytes = 64 << 10

// lastLines are the last lines of a log file, at most so many and each cut after limit bytes, as far as they stand after
// the offset from and within the last 64 KiB. Where the disk of the file has been freed there are none. A file that
// cannot be read has none either.
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
	begin := max(from, info.Size()-tailBytes)
	content, err := io.ReadAll(io.NewSectionReader(file, begin, info.Size()-begin))
	if err != nil {
		return nil
	}
	if hole := bytes.LastIndexByte(content, 0); hole >= 0 {
		content = content[hole+1:]
	} else if _, after, ok := bytes.Cut(content, []byte{'\n'}); ok && begin > from { // the first line is not whole
		content = after
	}
	kept := newTail(count)
	s := splitter{limit: limit, emit: func(text string, _ int) { kept.add(text) }}
	s.write(content)
	s.flush()
	return kept.all()
}
