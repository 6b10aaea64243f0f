package kretest_test

import (
	"os"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/kretest"
)

func ExampleCall() {
	currency := func(_ *kre.Context, price *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return wrapperspb.String(price.GetValue() + " " + os.Getenv("CURRENCY")), nil
	}
	test := func(t *testing.T) {
		var out wrapperspb.StringValue
		kretest.Call(t, currency, wrapperspb.String("5163"), kretest.Sender("model"), kretest.Env("CURRENCY", "EUR")).One(&out)
		if out.GetValue() != "5163 EUR" {
			t.Errorf("got %q", out.GetValue())
		}
	}
	_ = test
}
