package main

import (
	"testing"

	"github.com/konstellation-io/kre/runner-sdk/go/kretest"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"

	"example.com/email-classificator/pb"
)

func TestLetsPassWhatETLSends(t *testing.T) {
	kretest.Call(t, letPass, &pb.Email{Subject: "Lift stuck"}, kretest.Sender("etl")).None()
	kretest.Call(t, letPass, &pb.Response{}, kretest.Sender("etl"), kretest.Kind(wire.EarlyReply)).None()
}

func TestTellsTheCategory(t *testing.T) {
	var response pb.Response
	kretest.Call(t, answer, &pb.Stats{Category: "repairs"}, kretest.Sender("stats-storer")).One(&response)
	if response.GetMessage() != "about repairs" {
		t.Fatalf("answered %q", response.GetMessage())
	}
}

func TestRefusesWhatIsNoStatistics(t *testing.T) {
	if !kretest.Call(t, answer, &pb.Email{}, kretest.Sender("stats-storer")).IsFinal() {
		t.Fatal("another attempt cannot help, so the error should be final")
	}
}
