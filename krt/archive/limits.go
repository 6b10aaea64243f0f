package archive

// Limits bound what an archive may unpack to. A zero field means its default.
type Limits struct {
	MaxEntries int   // files and folders together; 200,000 by default
	MaxBytes   int64 // bytes of all files together, unpacked; 64 GiB by default
}

const (
	defaultMaxEntries = 200_000
	defaultMaxBytes   = 64 << 30
	maxPathBytes      = 1024 // of an entry; keeps the memory for names bounded by the number of entries
	maxNameBytes      = 255  // of a file or folder, as file systems take it
)

func (l Limits) orDefaults() Limits {
	if l.MaxEntries == 0 {
		l.MaxEntries = defaultMaxEntries
	}
	if l.MaxBytes == 0 {
		l.MaxBytes = defaultMaxBytes
	}
	return l
}
