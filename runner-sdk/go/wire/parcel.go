package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Headers of parcels, beside those of every message. Its Kre-Message-Id is the run's id.
const (
	HeaderParcel      = "Kre-Parcel"       // of several parcels of one run: what they have in common
	HeaderParcelFirst = "Kre-Parcel-First" // number of the first output that it holds; absent is 0
	HeaderParcelParts = "Kre-Parcel-Parts" // of the last of several: sequences of the others in their stream
	HeaderParcelInput = "Kre-Parcel-Input" // of the others: stream and sequence of the run's input
)

// Parcel is several outputs of one run stored as one message, or a part of them.
type Parcel struct {
	Message          // what the outputs have in common: all but id, kind and body
	RunID   string   // of the run that sent them
	First   int      // number of the first one among the run's outputs
	Items   []Item   // in the order in which they were sent
	Token   string   // what a run's several parcels have in common; empty: it is the only one
	Parts   []uint64 // of the last of several: where the others are
	Input   Position // of the others: where the run's input is
}

// Item is an output in a parcel.
type Item struct {
	Subject string // to store it on
	Kind    Kind
	Body    []byte
}

// Position is the place of a message.
type Position struct {
	Stream   string
	Sequence uint64
}

// Numbers of the fields of a parcel's body, as runner-sdk/spec/protocol.md tells.
const (
	fieldItem    = 1
	fieldSubject = 1
	fieldKind    = 2
	fieldBody    = 3
)

// itemRoom is more than what an item needs beside subject, kind and body.
const itemRoom = 32

// Size is at least the number of bytes that the item takes in a parcel's body.
func (i Item) Size() int { return len(i.Subject) + len(i.Kind) + len(i.Body) + itemRoom }

// Output returns the i-th message in the parcel.
func (p *Parcel) Output(i int) Message {
	m := p.Message
	m.ID, m.Kind, m.Body = OutputID(p.RunID, p.First+i), p.Items[i].Kind, p.Items[i].Body
	return m
}

// Encode returns headers and body of the parcel.
func (p *Parcel) Encode() (header map[string][]string, body []byte) {
	size := 0
	for _, item := range p.Items {
		size += item.Size()
	}
	body = make([]byte, 0, size)
	for _, item := range p.Items {
		kind := ""
		inner := protowire.SizeTag(fieldSubject) + protowire.SizeBytes(len(item.Subject)) +
			protowire.SizeTag(fieldBody) + protowire.SizeBytes(len(item.Body))
		if item.Kind != OK {
			kind = string(item.Kind)
			inner += protowire.SizeTag(fieldKind) + protowire.SizeBytes(len(kind))
		}
		body = protowire.AppendTag(body, fieldItem, protowire.BytesType)
		body = protowire.AppendVarint(body, uint64(inner)) //nolint:gosec // a size
		body = protowire.AppendTag(body, fieldSubject, protowire.BytesType)
		body = protowire.AppendString(body, item.Subject)
		if kind != "" {
			body = protowire.AppendTag(body, fieldKind, protowire.BytesType)
			body = protowire.AppendString(body, kind)
		}
		body = protowire.AppendTag(body, fieldBody, protowire.BytesType)
		body = protowire.AppendBytes(body, item.Body)
	}
	m := p.Message
	m.ID, m.Kind = p.RunID, OK
	header = m.Header()
	set := func(name, value string) {
		if value != "" {
			header[name] = []string{value}
		}
	}
	set(HeaderParcel, p.Token)
	if p.First > 0 {
		set(HeaderParcelFirst, strconv.Itoa(p.First))
	}
	if len(p.Parts) > 0 {
		set(HeaderParcelParts, join(p.Parts))
	}
	if p.Input != (Position{}) {
		set(HeaderParcelInput, p.Input.Stream+" "+strconv.FormatUint(p.Input.Sequence, 10))
	}
	return header, body
}

// ParseParcel reads a parcel as it came from the broker. Bodies are not copied.
func ParseParcel(header map[string][]string, data []byte) (*Parcel, error) {
	m, err := Parse(header, nil)
	if err != nil {
		return nil, err
	}
	f := fields{header: header}
	p := &Parcel{Message: m, RunID: m.ID, Token: f.text(HeaderParcel), First: int(f.number(HeaderParcelFirst, 1<<31-1))}
	if text := f.text(HeaderParcelInput); text != "" {
		stream, number, _ := strings.Cut(text, " ")
		n, ok := decimal(number)
		if !ok {
			f.fail(HeaderParcelInput, "%q is no stream and sequence", text)
		}
		p.Input = Position{Stream: stream, Sequence: uint64(n)} //nolint:gosec // it is not negative
	}
	if text := f.text(HeaderParcelParts); text != "" {
		for number := range strings.SplitSeq(text, " ") {
			n, ok := decimal(number)
			if !ok {
				f.fail(HeaderParcelParts, "%q is no list of sequences", text)
			}
			p.Parts = append(p.Parts, uint64(n)) //nolint:gosec // as above
		}
	}
	if f.err != nil {
		return nil, fmt.Errorf("not a parcel of KRE: %w", f.err)
	}
	if p.Items, err = items(data); err != nil {
		return nil, fmt.Errorf("not a parcel of KRE: %w", err)
	}
	return p, nil
}

func items(data []byte) ([]Item, error) {
	var all []Item
	err := eachField(data, func(number protowire.Number, value []byte) error {
		if number != fieldItem {
			return nil
		}
		item := Item{Kind: OK}
		err := eachField(value, func(number protowire.Number, value []byte) error {
			switch number {
			case fieldSubject:
				item.Subject = string(value)
			case fieldKind:
				item.Kind = Kind(value)
			case fieldBody:
				item.Body = value
			}
			return nil
		})
		if err != nil {
			return err
		}
		switch item.Kind {
		case OK, Error, EarlyReply, EarlyExit:
		default:
			return fmt.Errorf("unknown kind %q", item.Kind)
		}
		if item.Subject == "" {
			return errors.New("an output without a subject")
		}
		all = append(all, item)
		return nil
	})
	return all, err
}

// eachField calls with every field that holds bytes, in order.
func eachField(data []byte, call func(protowire.Number, []byte) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
				return protowire.ParseError(n)
			}
			data = data[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := call(number, value); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func join(numbers []uint64) string {
	texts := make([]string, 0, len(numbers))
	for _, n := range numbers {
		texts = append(texts, strconv.FormatUint(n, 10))
	}
	return strings.Join(texts, " ")
}
