package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

const (
	logStream      = "logs"
	logPrefix      = "logs."
	positionBucket = "log_positions"
	// latenessKey is none that a version could have.
	latenessKey = "_lateness"
	// usualLateness is how long after its own time a line is stored at most, unless something was away.
	usualLateness = time.Minute
)

// Headers of a stored line.
const (
	headerOffset   = "Kre-Offset" // in the log file, after the line
	headerFile     = "Kre-File"   // that the offset is in
	headerWorkflow = "Kre-Workflow"
	headerNode     = "Kre-Node"
	headerReplica  = "Kre-Replica"
	headerCut      = "Kre-Cut"      // bytes
	headerEncoding = "Kre-Encoding" // gzip: the line is compressed
	headerTotal    = "Kre-Total"    // bytes that its version has stored up to it, itself included; only differences mean anything
	headerUndated  = "Kre-Undated"  // true: the time that the line tells is not believed
)

// LogOptions bound what is kept.
type LogOptions struct {
	MaxAge   time.Duration // of a line
	MaxBytes int64         // of all; where it is not enough, of those that have most: see shares
}

// Logs keeps lines in a stream, each under the subject logs.<version>.<process>, and positions in a bucket. Both are made
// when they are needed first.
type Logs struct {
	b    *Broker
	opts LogOptions

	mu   sync.Mutex
	kept *kept // nil: to be looked for
	late lateness

	shares shares
}

// kept is where everything is kept.
type kept struct {
	stream    jetstream.Stream
	positions jetstream.KeyValue
}

var (
	_ logbook.Keeper = (*Logs)(nil)
	_ logbook.Store  = (*Logs)(nil)
)

// lateness is how long after the time that it tells a line was stored at most.
type lateness struct {
	Seconds int64     `json:"seconds"`
	Seen    time.Time `json:"seen"` // when that was
}

// Logs returns where lines are kept.
func (b *Broker) Logs(opts LogOptions) *Logs { return &Logs{b: b, opts: opts} }

// open makes the stream and the bucket as they should be, once.
func (l *Logs) open(ctx context.Context) (*kept, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept != nil {
		return l.kept, nil
	}
	if err := l.b.ready(ctx); err != nil {
		return nil, err
	}
	made := new(kept)
	err := l.b.call(ctx, func(ctx context.Context) (err error) {
		made.stream, err = l.b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name:               logStream,
			Subjects:           []string{logPrefix + ">"},
			Storage:            jetstream.FileStorage,
			Compression:        jetstream.S2Compression,
			Discard:            jetstream.DiscardOld,
			MaxAge:             l.opts.MaxAge,
			MaxBytes:           l.opts.MaxBytes,
			AllowAtomicPublish: true,
			AllowDirect:        true,
			Replicas:           l.b.replicas,
		})
		return err
	})
	if err != nil {
		return nil, l.b.fault(err, "create stream %s", logStream)
	}
	err = l.b.call(ctx, func(ctx context.Context) (err error) {
		made.positions, err = l.b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: positionBucket, History: 1, Storage: jetstream.FileStorage, Replicas: l.b.replicas,
		})
		return err
	})
	if err != nil {
		return nil, l.b.fault(err, "create bucket %s", positionBucket)
	}
	l.kept = made
	return made, nil
}

// gone has the stream and the bucket looked for again, where an answer says that they are not there any more.
func (l *Logs) gone(err error) {
	if !streamGone(err) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = nil
}

// streamGone tells whether an answer says that a stream or a bucket is not there.
func streamGone(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrBucketNotFound)
}

func subjectOf(version, process string) string { return logPrefix + version + "." + process }

// Last implements logbook.Keeper.
func (l *Logs) Last(ctx context.Context, version, process string) (logbook.Position, error) {
	at, err := l.open(ctx)
	if err != nil {
		return logbook.Position{}, err
	}
	var last *jetstream.RawStreamMsg
	err = l.b.call(ctx, func(ctx context.Context) (err error) {
		last, err = at.stream.GetLastMsgForSubject(ctx, subjectOf(version, process))
		return err
	})
	switch {
	case err == nil:
		offset, err := strconv.ParseInt(last.Header.Get(headerOffset), 10, 64)
		if err != nil {
			return logbook.Position{}, fmt.Errorf("read line %d of stream %s: its offset: %w", last.Sequence, logStream, err)
		}
		line := lineOf(last.Subject, last.Sequence, last.Time, last.Header, last.Data)
		return logbook.Position{
			Sequence: last.Sequence, File: last.Header.Get(headerFile), Offset: offset, Time: line.Entry().Time,
		}, nil
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		l.gone(err)
		return logbook.Position{}, l.b.fault(err, "find the last line of %s", process)
	}
	var known logbook.Positions
	if err := l.get(ctx, version, &known); err != nil {
		return logbook.Position{}, err
	}
	offset, ok := known.Processes[process]
	if !ok {
		return logbook.Position{}, nil
	}
	return logbook.Position{File: known.File, Offset: offset}, nil
}

// KeepPositions implements logbook.Keeper.
func (l *Logs) KeepPositions(ctx context.Context, version string, positions logbook.Positions) error {
	return l.put(ctx, version, positions)
}

// get reads what the bucket has under a key, if there is anything.
func (l *Logs) get(ctx context.Context, key string, value any) error {
	at, err := l.open(ctx)
	if err != nil {
		return err
	}
	err = l.b.call(ctx, func(ctx context.Context) error {
		entry, err := at.positions.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(entry.Value(), value)
	})
	l.gone(err)
	return l.b.fault(err, "read %s of bucket %s", key, positionBucket)
}

func (l *Logs) put(ctx context.Context, key string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s of bucket %s: %w", key, positionBucket, err)
	}
	at, err := l.open(ctx)
	if err != nil {
		return err
	}
	err = l.b.call(ctx, func(ctx context.Context) error {
		_, err := at.positions.Put(ctx, key, content)
		return err
	})
	l.gone(err)
	return l.b.fault(err, "write %s of bucket %s", key, positionBucket)
}

// Append implements logbook.Keeper. The records are one atomic batch, so that one that is lost takes all with it.
func (l *Logs) Append(ctx context.Context, records []logbook.Record) (uint64, error) {
	if len(records) == 0 {
		return 0, nil
	}
	if _, err := l.open(ctx); err != nil {
		return 0, err
	}
	if err := l.admitLateness(ctx, records); err != nil {
		return 0, err
	}
	batch := batchOf(records, int(l.b.conn.MaxPayload()))
	stored, err := l.admit(ctx, batch)
	if err != nil {
		return 0, err
	}
	var ack *nats.Msg
	err = l.b.call(ctx, func(ctx context.Context) (err error) {
		ack, err = l.publish(ctx, batch)
		return err
	})
	if err != nil {
		l.gone(err)
		return 0, l.b.fault(err, "store lines")
	}
	var answer struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	if err := json.Unmarshal(ack.Data, &answer); err != nil {
		return 0, fmt.Errorf("store lines: read the broker's answer: %w", err)
	}
	if answer.Error == nil {
		stored()
		return answer.Sequence, nil
	}
	switch answer.Error.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, codeWrongLastSequenceConstant:
		return 0, logbook.ErrMoved
	}
	return 0, l.b.fault(answer.Error, "store lines")
}

// codeWrongLastSequenceConstant is answered while a message of the same subject is being stored.
const codeWrongLastSequenceConstant jetstream.ErrorCode = 10164

// batchOf are the records' messages, which are stored together or not at all.
func batchOf(records []logbook.Record, limit int) []*nats.Msg {
	batch, seen := nuid.Next(), make(map[string]bool)
	msgs := make([]*nats.Msg, 0, len(records))
	for i, record := range records {
		msg := messageOf(record, limit)
		if !seen[msg.Subject] {
			seen[msg.Subject] = true
			msg.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(record.After, 10)}
		}
		if len(records) > 1 {
			msg.Header["Nats-Batch-Id"] = []string{batch}
			msg.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
			if i == len(records)-1 {
				msg.Header["Nats-Batch-Commit"] = []string{"1"}
			}
		}
		msgs = append(msgs, msg)
	}
	return msgs
}

// publish sends a batch and returns the answer to the last, which is for all.
func (l *Logs) publish(ctx context.Context, batch []*nats.Msg) (*nats.Msg, error) {
	last := len(batch) - 1
	for _, msg := range batch[:last] {
		if err := l.b.conn.PublishMsg(msg); err != nil {
			return nil, err
		}
	}
	return l.b.conn.RequestMsgWithContext(ctx, batch[last])
}

// messageOf is the message for a broker that takes messages of limit bytes.
func messageOf(record logbook.Record, limit int) *nats.Msg {
	msg := nats.NewMsg(subjectOf(record.Version, record.Name))
	set := func(name, value string) { msg.Header[name] = []string{value} }
	msg.Data = record.Text
	if len(msg.Data) > logbook.MaxText {
		msg.Data = compressed(record.Text)
		set(headerEncoding, gzipEncoding)
	}
	if room := limit - logHeaders; limit > 0 && len(msg.Data) > room {
		delete(msg.Header, headerEncoding)
		msg.Data = record.Text[:min(max(room, 0), len(record.Text))]
		record.Cut += int64(len(record.Text) - len(msg.Data))
	}
	set(headerOffset, strconv.FormatInt(record.Offset, 10))
	set(headerFile, record.File)
	set(headerNode, record.Node)
	if record.Workflow != "" {
		set(headerWorkflow, record.Workflow)
	}
	if record.Replica != 0 {
		set(headerReplica, strconv.Itoa(record.Replica))
	}
	if record.Undated {
		set(headerUndated, "true")
	}
	if record.Cut != 0 {
		set(headerCut, strconv.FormatInt(record.Cut, 10))
	}
	return msg
}

// lineOf reads a message of the stream.
func lineOf(subject string, sequence uint64, stored time.Time, header nats.Header, data []byte) logbook.Line {
	version, process, _ := strings.Cut(strings.TrimPrefix(subject, logPrefix), ".")
	// What is not there or no number counts as 0: the line itself is worth more.
	replica, _ := strconv.Atoi(header.Get(headerReplica))
	cut, _ := strconv.ParseInt(header.Get(headerCut), 10, 64)
	if header.Get(headerEncoding) == gzipEncoding {
		data = decompressed(data)
	}
	return logbook.Line{
		Process: logbook.Process{
			Version: version, Name: process, Replica: replica,
			Workflow: header.Get(headerWorkflow), Node: cmp.Or(header.Get(headerNode), process),
		},
		Sequence: sequence, Stored: stored, Text: data, Cut: cut, Undated: header.Get(headerUndated) != "",
	}
}

// admitLateness makes known, before such lines are stored, how late the records are.
func (l *Logs) admitLateness(ctx context.Context, records []logbook.Record) error {
	now := time.Now()
	var late time.Duration
	for _, record := range records {
		if !record.Time.IsZero() {
			late = max(late, now.Sub(record.Time))
		}
	}
	l.mu.Lock()
	known := l.late
	l.mu.Unlock()
	seconds := int64(late/time.Second) + 1
	renewed := now.Sub(known.Seen) < time.Hour
	if late <= usualLateness/2 || seconds <= known.Seconds && renewed {
		return nil
	}
	known, err := l.lateness(ctx, now)
	if err != nil {
		return err
	}
	// Twice as much, so that it is not told again for each line.
	known = lateness{Seconds: max(known.Seconds, 2*seconds), Seen: now}
	if err := l.put(ctx, latenessKey, known); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = known
	return nil
}

// lateness is how late lines are that are still kept.
func (l *Logs) lateness(ctx context.Context, now time.Time) (lateness, error) {
	var known lateness
	if err := l.get(ctx, latenessKey, &known); err != nil {
		return lateness{}, err
	}
	if l.opts.MaxAge > 0 && now.Sub(known.Seen) > l.opts.MaxAge+time.Hour {
		return lateness{}, nil
	}
	return known, nil
}

// Purge implements logbook.Store.
func (l *Logs) Purge(ctx context.Context, version string) error {
	at, err := l.open(ctx)
	if err != nil {
		return err
	}
	err = l.b.call(ctx, func(ctx context.Context) error {
		return at.stream.Purge(ctx, jetstream.WithPurgeSubject(subjectOf(version, ">")))
	})
	if err != nil {
		l.gone(err)
		return l.b.fault(err, "remove the lines of version %s", version)
	}
	err = l.b.call(ctx, func(ctx context.Context) error {
		err := at.positions.Purge(ctx, version)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		return err
	})
	l.gone(err)
	return l.b.fault(err, "forget how far the logs of version %s are stored", version)
}

// unavailable is what is answered in place of an answer.
func (l *Logs) unavailable(cause error, what string) error {
	return fault.Wrap(fault.Unavailable, cause, "the broker at %s did not answer: cannot %s", l.b.servers, what)
}
