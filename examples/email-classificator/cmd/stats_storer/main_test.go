package main

import (
	"testing"

	"github.com/konstellation-io/kre/runner-sdk/go/kretest"

	"example.com/email-classificator/pb"
)

func TestCountsByCategory(t *testing.T) {
	counter := &counter{counted: make(map[string]int64)}
	var stats pb.Stats
	for _, category := range []string{"repairs", "orders", "repairs"} {
		kretest.Call(t, counter.count, &pb.Classified{Category: category}, kretest.Sender("email-classificator")).One(&stats)
	}
	if stats.GetCategory() != "repairs" || stats.GetCounted()["repairs"] != 2 || stats.GetCounted()["orders"] != 1 {
		t.Fatalf("counted %v", &stats)
	}
}
