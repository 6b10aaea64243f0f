// Command stats_storer counts e-mails by category. It counts in memory: a restart begins at nothing.
package main

import (
	"maps"

	kre "github.com/konstellation-io/kre/runner-sdk/go"

	"example.com/email-classificator/pb"
)

func main() {
	counter := &counter{counted: make(map[string]int64)}
	kre.Handle(counter.count)
	kre.Run()
}

// counter needs no lock: a node handles one message at a time.
type counter struct {
	counted map[string]int64
}

func (c *counter) count(ctx *kre.Context, mail *pb.Classified) (*pb.Stats, error) {
	c.counted[mail.GetCategory()]++
	ctx.Logger.Infof("counted %s: %d so far", mail.GetCategory(), c.counted[mail.GetCategory()])
	return &pb.Stats{Category: mail.GetCategory(), Counted: maps.Clone(c.counted)}, nil
}
