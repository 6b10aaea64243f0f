package natsaccount

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
)

const revokedFile = "account.revoked.json"

// sameTime is how long after one user was revoked another one may have been let in whose token says the same time: tokens
// tell seconds.
const sameTime = 2 * time.Second

// readRevoked reads which users of an account are let in no more, with tokens of what time or earlier.
func readRevoked(dir string) (jwt.RevocationList, error) {
	content, err := os.ReadFile(filepath.Join(dir, revokedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read which NATS users are revoked: %w", err)
	}
	var list jwt.RevocationList
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("read which NATS users are revoked: %s: %w", revokedFile, err)
	}
	return list, nil
}

// addRevoked adds a user of an account, and writes the list. Where an account has one user at a time, each let in after the one
// before was revoked (alone), those who were revoked long enough ago are everybody of before, which keeps the list short.
func addRevoked(dir, user string, alone bool, now time.Time) error {
	list, err := readRevoked(dir)
	if err != nil {
		return err
	}
	if list == nil {
		list = make(jwt.RevocationList)
	}
	if alone {
		fold(list, now.Add(-sameTime).Unix())
	}
	list.Revoke(user, now)
	content, err := json.Marshal(list)
	if err == nil {
		err = writeWhole(filepath.Join(dir, revokedFile), content)
	}
	if err != nil {
		return fmt.Errorf("keep which NATS users are revoked: %w", err)
	}
	return nil
}

// fold makes the users who were revoked before a time, in seconds, one entry for everybody with a token as old as the last.
func fold(list jwt.RevocationList, before int64) {
	for id, at := range list {
		if at < before && id != jwt.All {
			delete(list, id)
			list[jwt.All] = max(list[jwt.All], at)
		}
	}
}
