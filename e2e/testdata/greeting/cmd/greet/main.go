// Command greet is both nodes of the greeting: STEP tells it which.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	kre "github.com/konstellation-io/kre/runner-sdk/go"

	"example.com/greeting/pb"
)

func main() {
	switch os.Getenv("TROUBLE") {
	case "crash":
		fmt.Fprintln(os.Stderr, "cannot load the model: no such file")
		os.Exit(3)
	case "hang":
		fmt.Println("loading for ever")
		time.Sleep(time.Hour)
	}
	if os.Getenv("STEP") == "prepare" {
		kre.Handle(func(_ *kre.Context, request *pb.Request) (*pb.Request, error) { return request, nil })
	} else {
		kre.Handle(greet)
	}
	kre.Run()
}

// requests counts what this process has been asked.
var requests int

func greet(ctx *kre.Context, request *pb.Request) (*pb.Response, error) {
	requests++
	if os.Getenv("TROUBLE") == "third" && requests == 3 {
		fmt.Fprintln(os.Stderr, "the third request is too much")
		os.Exit(4)
	}
	ctx.Logger.Infof("greeting %s", request.GetName())
	time.Sleep(time.Duration(request.GetSleepMs()) * time.Millisecond)
	return &pb.Response{
		Text:    fmt.Sprintf("%s%s %s", os.Getenv("GREETING"), os.Getenv("SUFFIX"), request.GetName()),
		Version: version(),
	}, nil
}

// version is the name of the version that this process belongs to, as its configuration tells it.
func version() string {
	var config struct{ Version string }
	content, err := os.ReadFile(os.Getenv("KRE_CONFIG"))
	if err == nil {
		err = json.Unmarshal(content, &config)
	}
	if err != nil {
		panic(err)
	}
	return config.Version
}
