package kre

import "time"

// Measurement saves measurements. It is not there yet: the first use writes a warning to the log.
type Measurement struct{ node *node }

// Save saves the fields of one measurement, now.
func (m Measurement) Save(name string, fields map[string]any, tags map[string]string) {
	m.node.warnNotThereYet("ctx.Measurement")
}

// Prediction saves what a model predicted beside what was true. It is not there yet.
type Prediction struct{}

// Save saves one prediction.
func (Prediction) Save(date time.Time, predicted, truth string) error {
	return notThereYet("ctx.Prediction")
}

// SaveError saves that no prediction could be made, and of what kind the reason is.
func (Prediction) SaveError(kind string) error { return notThereYet("ctx.Prediction") }

// DB keeps documents in collections. It is not there yet.
type DB struct{}

// Save saves a document.
func (DB) Save(collection string, document any) error { return notThereYet("ctx.DB") }

// Find reads the documents that match the query into result, a pointer to a slice.
func (DB) Find(collection string, query, result any) error { return notThereYet("ctx.DB") }

// ObjectStore keeps objects of any size. It is not there yet.
type ObjectStore struct{}

// Save saves an object under a key.
func (ObjectStore) Save(key string, object []byte) error { return notThereYet("ctx.ObjectStore") }

// Get returns the object saved under key.
func (ObjectStore) Get(key string) ([]byte, error) { return nil, notThereYet("ctx.ObjectStore") }

// List returns all keys.
func (ObjectStore) List() ([]string, error) { return nil, notThereYet("ctx.ObjectStore") }

// Delete removes the object saved under key.
func (ObjectStore) Delete(key string) error { return notThereYet("ctx.ObjectStore") }

// Purge removes all objects.
func (ObjectStore) Purge() error { return notThereYet("ctx.ObjectStore") }

// Scope says who shares a value of Configuration.
type Scope string

// The scopes, from the narrowest.
const (
	ScopeNode     Scope = "node"
	ScopeWorkflow Scope = "workflow"
	ScopeProject  Scope = "project"
)

// Configuration keeps small values by key. It is not there yet.
type Configuration struct{}

// Set sets a value in one scope, ScopeNode by default.
func (Configuration) Set(key, value string, scope ...Scope) error {
	return notThereYet("ctx.Configuration")
}

// Get returns a value from one scope, or by default from the narrowest scope that has it.
func (Configuration) Get(key string, scope ...Scope) (string, error) {
	return "", notThereYet("ctx.Configuration")
}

// Delete removes a value from one scope, ScopeNode by default.
func (Configuration) Delete(key string, scope ...Scope) error {
	return notThereYet("ctx.Configuration")
}
