// SPDX-License-Identifier: Apache-2.0

package authorization

import "os/user"

// System looks names up in the machine's own account database.
type System struct{}

// UserID returns the id of the user called name.
func (System) UserID(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

// GroupID returns the id of the group called name.
func (System) GroupID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

// GroupsOf returns the ids of the groups of the user with an id.
func (System) GroupsOf(userID string) ([]string, error) {
	u, err := user.LookupId(userID)
	if err != nil {
		return nil, err
	}
	return u.GroupIds()
}
