package wire

import (
	"strconv"
	"strings"
	"time"
)

// DeadLetter says why a message was put aside. The body of a dead letter is its message's, unchanged.
type DeadLetter struct {
	Error        string // made one line of at most MaxErrorText bytes
	Attempts     int
	FailedAt     time.Time
	InputSubject string // subject on which the message had been stored
}

// Header returns the headers of the dead letter of a message with the given ones: those, less what the broker
// understands, and what d says.
func (d DeadLetter) Header(input map[string][]string) map[string][]string {
	header := make(map[string][]string, len(input)+5)
	for name, values := range input {
		if !strings.HasPrefix(name, "Nats-") {
			header[name] = values
		}
	}
	header[HeaderError] = []string{oneLine(d.Error)}
	header[HeaderAttempts] = []string{strconv.Itoa(d.Attempts)}
	header[HeaderFailedAt] = []string{strconv.FormatInt(d.FailedAt.UnixNano(), 10)}
	header[HeaderInputSubject] = []string{d.InputSubject}
	return header
}
