// SPDX-License-Identifier: Apache-2.0

// Package authorization decides who may use the helper: root, and the users and members of groups that were named
// when it was installed.
//
// It owns the policy file and its meaning. What it can't read, can't understand or can't trust allows nobody but
// root. It must not take part in finding out who calls: helper/localsocket does.
package authorization

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/fairlead-dev/fairlead/helper/localsocket"
)

// maxPolicy bounds the policy file, in bytes.
const maxPolicy = 64 << 10

// Policy names who may use the helper. Each entry is a name, or an id: a number on Linux and macOS, a SID on Windows.
// Users and groups that only a directory service knows are named by id. The zero value allows root alone.
type Policy struct {
	Users  []string `json:"users,omitempty"`
	Groups []string `json:"groups,omitempty"`
}

// Lookup turns names into ids; an error means that there is no such name.
type Lookup interface {
	UserID(name string) (string, error)
	GroupID(name string) (string, error)
	// GroupsOf are the ids of the groups that a user is a member of now. A process has those of when it was started.
	GroupsOf(userID string) ([]string, error)
}

// Allows reports whether the caller may use the helper. An id is compared as it is; a name counts only through
// lookup, so that nobody gets in by having a number as a name.
func (p Policy) Allows(caller localsocket.Identity, lookup Lookup) bool {
	if caller.Administrator {
		return true
	}
	if caller.User == "" {
		return false
	}
	return slices.ContainsFunc(p.Users, func(user string) bool {
		id, err := resolve(user, lookup.UserID)
		return err == nil && id == caller.User
	}) || slices.ContainsFunc(p.Groups, func(group string) bool {
		id, err := resolve(group, lookup.GroupID)
		return err == nil && (caller.InGroup(id) || isMember(caller.User, id, lookup))
	})
}

// isMember reports whether a user belongs to a group by the machine's accounts, so that who joins it need not log in
// again, nor start the daemon anew.
func isMember(userID, groupID string, lookup Lookup) bool {
	groups, err := lookup.GroupsOf(userID)
	return err == nil && groupID != "" && slices.Contains(groups, groupID)
}

func resolve(entry string, lookup func(string) (string, error)) (string, error) {
	if isID(entry) {
		return entry, nil
	}
	id, err := lookup(entry)
	if err != nil || id == "" {
		return "", fmt.Errorf("this machine has no account %q", entry)
	}
	return id, nil
}

// Validate checks that every entry is an id or an account that exists.
func (p Policy) Validate(lookup Lookup) error {
	for _, user := range p.Users {
		if _, err := resolve(user, lookup.UserID); err != nil {
			return fmt.Errorf("allow a user: %w", err)
		}
	}
	for _, group := range p.Groups {
		if _, err := resolve(group, lookup.GroupID); err != nil {
			return fmt.Errorf("allow a group: %w", err)
		}
	}
	return nil
}

// Parse reads a policy. Unknown fields are refused: a policy that means more than this version knows is not guessed at.
func Parse(content []byte) (Policy, error) {
	var policy Policy
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&policy); err != nil {
		return Policy{}, fmt.Errorf("parse access policy: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Policy{}, errors.New("parse access policy: there is more after it")
	}
	return policy, nil
}

// Load reads the policy file at path. No file is the policy that allows root alone. A file that anybody but root can
// write is an error, and so is one that can't be understood; the policy returned with an error allows root alone.
func Load(path string) (Policy, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Policy{}, nil
	}
	if err != nil {
		return Policy{}, fmt.Errorf("open access policy: %w", err)
	}
	content, err := readTrusted(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return Policy{}, fmt.Errorf("read access policy %s: %w", path, err)
	}
	return Parse(content)
}

func readTrusted(file *os.File) ([]byte, error) {
	if err := checkTrusted(file); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxPolicy+1))
	if err == nil && len(content) > maxPolicy {
		err = fmt.Errorf("it is larger than %d bytes", maxPolicy)
	}
	return content, err
}

// Marshal returns the policy as the file's content.
func (p Policy) Marshal() []byte {
	content, err := json.MarshalIndent(p, "", "  ")
	if err != nil { // strings always marshal
		panic(err)
	}
	return append(content, '\n')
}
