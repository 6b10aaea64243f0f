package wire

import "bytes"

// Stored reads the broker's answer to a message that it was to store. It knows the one that nearly every answer is, that the message
// is stored now, and returns its sequence; anything else, a duplicate or a refusal say, is for the caller to take apart. Taking
// every answer apart would cost a twentieth of a node's time.
func Stored(answer []byte) (sequence uint64, is bool) {
	if !bytes.HasPrefix(answer, []byte(`{"stream":`)) || bytes.Contains(answer, []byte(`"duplicate":`)) ||
		bytes.Contains(answer, []byte(`"error":`)) {
		return 0, false
	}
	_, rest, _ := bytes.Cut(answer, []byte(`"seq":`))
	for _, c := range bytes.TrimLeft(rest, " ") {
		if c < '0' || c > '9' {
			break
		}
		sequence = 10*sequence + uint64(c-'0')
	}
	return sequence, true
}
