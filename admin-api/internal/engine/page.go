package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/konstellation-io/kre/kit/fault"
)

// Sizes of pages.
const (
	defaultPage = 50
	largestPage = 500
)

func pageSize(asked int) (int, error) {
	switch {
	case asked < 0:
		return 0, invalid("page_size", "%d: want 0 (for %d) or more", asked, defaultPage)
	case asked == 0:
		return defaultPage, nil
	default:
		return min(asked, largestPage), nil
	}
}

// token is what a page token holds: where the next page begins, and a mark of the list that it is of.
type token struct {
	Next string `json:"n"`
	List []byte `json:"l"`
}

// mark identifies a list: its kind, its parent and its filter.
func (e *Engine) mark(list ...string) []byte {
	hash := hmac.New(sha256.New, e.opts.PageKey)
	hash.Write([]byte(strings.Join(list, "\x00")))
	return hash.Sum(nil)[:12]
}

// nextPage makes the token of the page that begins after a key.
func (e *Engine) nextPage(after string, list ...string) string {
	content, err := json.Marshal(token{Next: after, List: e.mark(append(list, after)...)})
	if err != nil {
		panic(err) // two byte strings can always be written
	}
	return base64.RawURLEncoding.EncodeToString(content)
}

// thisPage reads a token: after which key the page begins, "" for the first.
func (e *Engine) thisPage(text string, list ...string) (string, error) {
	if text == "" {
		return "", nil
	}
	var t token
	content, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(content, &t)
	}
	if err != nil || !hmac.Equal(t.List, e.mark(append(list, t.Next)...)) {
		refusal := fault.New(fault.Invalid, "page_token: it is not one of this list; take next_page_token of a page with the same parent and filter, or begin without").
			For(ReasonInvalidPageToken)
		refusal.Fields = []fault.Field{{Path: "page_token", Message: "not of this list"}}
		return "", refusal
	}
	return t.Next, nil
}
