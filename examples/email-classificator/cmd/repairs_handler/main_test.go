package main

import (
	"testing"

	"github.com/konstellation-io/kre/runner-sdk/go/kretest"

	"example.com/email-classificator/pb"
)

func TestSendsNothing(t *testing.T) {
	mail := &pb.Classified{Email: &pb.Email{Subject: "Lift stuck"}, Category: "repairs"}
	kretest.Call(t, openTicket, mail, kretest.Sender("email-classificator")).None()
}
