package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// pathOf returns the path of the field at which an error of protojson, which names a line and a column, occurred:
// `stones[2].carat`. It is empty at the top, and when the error names no position.
func pathOf(data []byte, problem string) string {
	_, rest, found := strings.Cut(problem, "(line ")
	if !found {
		return ""
	}
	position, _, _ := strings.Cut(rest, ")")
	lineText, columnText, _ := strings.Cut(position, ":")
	line, err := strconv.Atoi(lineText)
	if err != nil {
		return ""
	}
	column, err := strconv.Atoi(columnText)
	if err != nil {
		return ""
	}
	return pathAt(data, offsetOf(data, line, column))
}

// offsetOf returns the offset of a position that counts from 1, its column in characters.
func offsetOf(data []byte, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		end := bytes.IndexByte(data[offset:], '\n')
		if end < 0 {
			return len(data)
		}
		offset += end + 1
	}
	for i := range string(data[offset:]) {
		if column--; column == 0 {
			return offset + i
		}
	}
	return len(data)
}

// level is an object or an array that is being read.
type level struct {
	array   bool
	index   int    // of the element being read
	key     string // of the member being read
	wantKey bool
}

// pathAt returns the path of the value or the key at an offset. What cannot be parsed ends the search: the path is then
// that of the last thing that could.
func pathAt(data []byte, offset int) string {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var open []level
	for {
		token, err := decoder.Token()
		if err != nil {
			return render(open)
		}
		reached := decoder.InputOffset() > int64(offset)
		delim, structural := token.(json.Delim)
		if structural && (delim == '}' || delim == ']') {
			if reached {
				return render(open)
			}
			open = open[:len(open)-1]
			next(open)
			continue
		}
		if top := len(open) - 1; top >= 0 && open[top].wantKey {
			open[top].key, _ = token.(string)
			open[top].wantKey = false
			if reached {
				return render(open)
			}
			continue
		}
		if reached {
			return render(open)
		}
		if structural {
			open = append(open, level{array: delim == '[', wantKey: delim == '{'})
			continue
		}
		next(open)
	}
}

// next moves on after a value.
func next(open []level) {
	if len(open) == 0 {
		return
	}
	top := &open[len(open)-1]
	if top.array {
		top.index++
	} else {
		top.wantKey = true
	}
}

func render(open []level) string {
	var b strings.Builder
	for _, l := range open {
		switch {
		case l.array:
			fmt.Fprintf(&b, "[%d]", l.index)
		case l.wantKey: // between members
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(l.key)
		}
	}
	const most = 200 // keys are the caller's
	if b.Len() > most {
		return strings.ToValidUTF8(b.String()[:most], "") + "…"
	}
	return b.String()
}
