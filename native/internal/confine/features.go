package confine

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
)

// The features that a host may not allow, as Outcome names them.
const (
	// Namespaces: no network, no other files, no other processes.
	Namespaces = "namespaces"
	// Lender: a file that the VMM opens for writing is given to it for reading.
	Lender = "lender"
	// User: a user of the VMM's own.
	User = "user"
	// Limits: a control group with limits.
	Limits = "limits"
)

// How namespaces are had.
const (
	none   = "none"
	asRoot = "root"
	// asUser is inside of a user namespace.
	asUser = "user"
)

// Own users are far from those that a host gives to people, services and
// containers, see "Users, Groups, UIDs and GIDs on systemd Systems".
const (
	firstUser = 0x70000000
	users     = 0x0ffe0000
)

// Outcome says how a VMM is confined.
type Outcome struct {
	// Namespaces is "root", "user" or "none".
	Namespaces string `json:"namespaces"`
	// User is that of the VMM.
	User int `json:"user"`
	// OwnUser tells whether no other process has it.
	OwnUser bool `json:"own_user"`
	Lender  bool `json:"lender"`
	Limits  bool `json:"limits"`
	// Missing are the reasons for what could not be had, by feature.
	Missing map[string]string `json:"missing"`
}

func (o Outcome) of(a attempt) Outcome {
	o.Namespaces, o.User, o.OwnUser, o.Lender, o.Limits = a.has.namespaces, os.Getuid(), a.has.user, a.has.lender, a.group != nil
	if o.OwnUser {
		o.User = userOf(a.command.ID)
	}
	return o
}

// features is what an attempt tries to have.
type features struct {
	namespaces   string
	lender, user bool
}

func wanted() features {
	if os.Geteuid() == 0 {
		return features{namespaces: asRoot, lender: true, user: true}
	}
	return features{namespaces: asUser, lender: true}
}

// drop goes without a feature, and without those that need it. It fails when that was so before.
func (f *features) drop(feature string) bool {
	before := *f
	switch feature {
	case User:
		f.user = false
	case Lender:
		// A user of its own may open nothing that is ours.
		f.lender, f.user = false, false
	case Namespaces:
		f.user = false
		if f.namespaces == asRoot {
			f.namespaces = asUser
		} else {
			f.namespaces, f.lender = none, false
		}
	}
	return *f != before
}

// userOf is the user, and the group, of a machine's VMM.
func userOf(id string) int {
	digest := sha256.Sum256([]byte(id))
	return firstUser + int(binary.BigEndian.Uint32(digest[:])%users)
}
