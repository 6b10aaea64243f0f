package wire

import (
	"fmt"
	"strings"
)

const (
	// HeaderAsk marks what is no reply on an entrypoint's reply subject but a question; its value says which.
	HeaderAsk = "Kre-Ask"

	// AskEnded asks which of some requests have ended unanswered.
	AskEnded = "ended"

	// MaxAsked is how many requests one question may be about.
	MaxAsked = 1000
)

// EndedQuestion returns the question which of these requests have ended unanswered, at most MaxAsked. Its answer, as
// ReadIDs reads it, holds those that are known to have.
func EndedQuestion(requestIDs []string) (header map[string][]string, body []byte) {
	return map[string][]string{HeaderAsk: {AskEnded}}, WriteIDs(requestIDs)
}

// ParseEndedQuestion reads a message that came on a reply subject. It reports whether it is a question; the error says what is
// wrong with it.
func ParseEndedQuestion(header map[string][]string, body []byte) (requestIDs []string, is bool, err error) {
	f := fields{header: header}
	ask := f.text(HeaderAsk)
	if ask == "" && f.err == nil {
		return nil, false, nil
	}
	if f.err == nil && ask != AskEnded {
		f.fail(HeaderAsk, "unknown question %q", ask)
	}
	if f.err != nil {
		return nil, true, fmt.Errorf("not a question of KRE: %w", f.err)
	}
	requestIDs, err = ReadIDs(body)
	return requestIDs, true, err
}

// WriteIDs returns request ids as a body, one in each line.
func WriteIDs(requestIDs []string) []byte { return []byte(strings.Join(requestIDs, "\n")) }

// ReadIDs reads what WriteIDs has written. It refuses what is no request id, and more than MaxAsked.
func ReadIDs(body []byte) ([]string, error) {
	if len(body) == 0 {
		return nil, nil
	}
	const line = 27 // bytes: an id and the end of its line
	if len(body) >= MaxAsked*line {
		return nil, fmt.Errorf("%d bytes of request ids, want at most %d of them", len(body), MaxAsked)
	}
	requestIDs := strings.Split(string(body), "\n")
	for _, id := range requestIDs {
		if !ValidRequestID(id) {
			return nil, fmt.Errorf("%q is not a ULID of 26 characters", id[:min(len(id), line)])
		}
	}
	return requestIDs, nil
}
