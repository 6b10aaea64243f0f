package wire

import (
	"fmt"
	"strings"
)

const (
	// HeaderAsk marks a question about requests; its value says which.
	HeaderAsk = "Kre-Ask"

	// AskEnded asks an entrypoint, on its reply subject, which of some requests have ended unanswered. The answer is their ids.
	AskEnded = "ended"
	// AskProgress asks every process of a workflow what it knows of some requests. The answer is a Progress, as JSON.
	AskProgress = "progress"

	// MaxAsked is how many requests one question may be about.
	MaxAsked = 1000
)

// Question returns a question, AskEnded or AskProgress, about at most MaxAsked requests.
func Question(ask string, requestIDs []string) (header map[string][]string, body []byte) {
	return map[string][]string{HeaderAsk: {ask}}, WriteIDs(requestIDs)
}

// ParseQuestion reads a message that came where something is asked. It reports whether it is a question; the error says what is
// wrong with it, as when it does not ask what is meant to be asked there.
func ParseQuestion(ask string, header map[string][]string, body []byte) (requestIDs []string, is bool, err error) {
	f := fields{header: header}
	asked := f.text(HeaderAsk)
	if asked == "" && f.err == nil {
		return nil, false, nil
	}
	if f.err == nil && asked != ask {
		f.fail(HeaderAsk, "unknown question %q", asked)
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
