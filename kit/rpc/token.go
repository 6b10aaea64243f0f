package rpc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
)

// TokenAt is the token of the one service at an address, made of one that several share. Who has it can neither call another
// one nor make another one's.
func TokenAt(shared, address string) string {
	if shared == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(shared))
	mac.Write([]byte("service at " + address))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil))
}
