package documents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	_ "modernc.org/sqlite" // the driver, in the version FerretDB uses
)

// How FerretDB 1.24 lays out a database: one file, and in it one table that lists the tables of the collections, each with
// one column.
const (
	extension  = ".sqlite"
	catalogue  = "_ferretdb_collections"
	column     = "_ferretdb_sjson"
	asJSON     = column + `->'$._id'`  // what it compares when it looks a document up
	asText     = column + `->>'$._id'` // the same as text, which has MongoDB's order where it is a string
	indexLimit = 10 * time.Second      // for making one, while nobody writes
)

// indexes gives each table an index over what FerretDB compares when it looks a document up (its own one is over another
// expression for the same thing, so that SQLite reads the whole table), and one for pages. It also mends what a killed
// process left half-made.
type indexes struct {
	dir  string
	log  *zap.Logger
	done map[collection]bool // those that have theirs; only for who writes

	mu   sync.Mutex
	open map[string]*sql.DB // by database
}

// newIndexes mends the databases that are there. FerretDB must not have opened them yet.
func newIndexes(ctx context.Context, dir string, log *zap.Logger) (*indexes, error) {
	x := &indexes{dir: dir, log: log, done: map[collection]bool{}, open: map[string]*sql.DB{}}
	files, err := filepath.Glob(filepath.Join(dir, "*"+extension))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := x.mend(ctx, strings.TrimSuffix(filepath.Base(file), extension)); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot read %s: %w", file, err), x.close())
		}
	}
	return x, nil
}

// follow makes the indexes of what a write has made. What goes wrong costs speed and is tried again.
func (x *indexes) follow(r request) {
	switch r.command {
	case "drop", "dropDatabase", "renameCollection":
		clear(x.done)
		// Not a file that is no longer there.
		if err := x.close(); err != nil {
			x.log.Warn("cannot close a database", zap.Error(err))
		}
		return
	case "create", "createIndexes", "delete", "findAndModify", "findandmodify", "insert", "update":
	default:
		return
	}
	c, ok := r.collection()
	if !ok || x.done[c] {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), indexLimit)
	defer cancel()
	made, err := x.make(ctx, c)
	if err != nil {
		x.log.Warn("cannot index a collection", zap.String("collection", c.name), zap.Error(err))
		return
	}
	x.done[c] = made
}

// make makes the indexes of a collection, unless they are there; false: there is no such collection.
func (x *indexes) make(ctx context.Context, c collection) (bool, error) {
	db, table, err := x.table(ctx, c)
	if err != nil || table == "" {
		return false, err
	}
	return true, index(ctx, db, table)
}

// table is where a collection is kept; empty: there is no such collection.
func (x *indexes) table(ctx context.Context, c collection) (*sql.DB, string, error) {
	db, err := x.database(c.database)
	if err != nil || db == nil {
		return nil, "", err
	}
	var table string
	err = db.QueryRowContext(ctx, `SELECT table_name FROM `+catalogue+` WHERE name = ?`, c.name).Scan(&table)
	if errors.Is(err, sql.ErrNoRows) {
		return db, "", nil
	}
	return db, table, err
}

// index makes both indexes. One is unique, so that ids are that also where a killed process left a table without FerretDB's
// own index.
func index(ctx context.Context, db *sql.DB, table string) error {
	for _, statement := range []string{
		fmt.Sprintf(`CREATE UNIQUE INDEX IF NOT EXISTS %s ON %s (%s)`, quote("kre_id_"+table), quote(table), asJSON),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %s ON %s (%s)`, quote("kre_order_"+table), quote(table), asText),
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// database opens one that is there; nil: there is none.
func (x *indexes) database(name string) (*sql.DB, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if db, ok := x.open[name]; ok {
		return db, nil
	}
	file := filepath.Join(x.dir, name+extension)
	if filepath.Dir(file) != x.dir {
		return nil, nil
	}
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(time.Minute)
	x.open[name] = db
	return db, nil
}

// mend completes or removes what FerretDB makes in several steps: the file, the catalogue in it, the table of a collection,
// its entry in the catalogue, its index. Killed between two of them it would not start again, or refuse the collection.
func (x *indexes) mend(ctx context.Context, name string) error {
	db, err := x.database(name)
	if err != nil {
		return err
	}
	var catalogues int
	row := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?`, catalogue)
	if err := row.Scan(&catalogues); err != nil {
		return err
	}
	if catalogues == 0 {
		_, err := db.ExecContext(ctx, `CREATE TABLE `+catalogue+` (name TEXT NOT NULL UNIQUE CHECK(name != ''), `+
			`table_name TEXT NOT NULL UNIQUE CHECK(table_name != ''), settings TEXT NOT NULL CHECK(settings != '')) STRICT`)
		return err
	}
	unlisted, err := names(ctx, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' `+
		`AND name != '`+catalogue+`' AND name NOT IN (SELECT table_name FROM `+catalogue+`)`)
	if err != nil {
		return err
	}
	for _, table := range unlisted { // nobody can have written into one
		if _, err := db.ExecContext(ctx, `DROP TABLE `+quote(table)); err != nil {
			return err
		}
	}
	listed, err := names(ctx, db, `SELECT table_name FROM `+catalogue)
	if err != nil {
		return err
	}
	for _, table := range listed {
		if err := index(ctx, db, table); err != nil {
			return err
		}
	}
	return nil
}

func names(ctx context.Context, db *sql.DB, query string, args ...any) (found []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		found = append(found, name)
	}
	return found, rows.Err()
}

func (x *indexes) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var err error
	for name, db := range x.open {
		err = errors.Join(err, db.Close())
		delete(x.open, name)
	}
	return err
}
