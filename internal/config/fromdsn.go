package config

import "errors"

// FromDSN returns the settings of `penstock run DSN`: the defaults, the
// database that dsn names and the fallback. Clients log in with dsn's user and
// password, who is also the console's administrator; without a password anybody
// on this machine may log in, as any user. A non-nil error is [Problems].
func FromDSN(dsn string) (*Config, error) {
	r := &reader{file: "DSN", dir: "."}
	given, errs := r.readDSN(dsn)
	database := given["dbname"]
	if database == "" {
		database = given["user"]
	}
	if len(errs) == 0 {
		errs = checkGiven(given, database)
	}
	for _, err := range errs {
		r.problem(nil, "%v", err)
	}
	if len(r.problems) > 0 {
		return nil, Problems(r.problems)
	}

	c := Default()
	user, password := given["user"], given["password"]
	if password != "" {
		c.Auth.Users = map[string]string{user: password}
	} else {
		c.Auth.Method = "trust"
	}
	if user != "" && user != c.Admin.Users[0] {
		c.Admin.Users = append(c.Admin.Users, user)
	}
	delete(given, "dbname")
	for _, name := range []string{database, Fallback} {
		if name != "" {
			d := defaultDatabase(name, c.Pool)
			d.Primary = given.withDefaults(name).String()
			c.Databases[name] = d
		}
	}
	return c, nil
}

// checkGiven looks at what a DSN must and must not hold to stand alone.
func checkGiven(given dsn, database string) []error {
	var errs []error
	if given["host"] == "" {
		errs = append(errs, errors.New("host: is missing; for the server's unix socket write its folder, such as host=/run/postgresql"))
	}
	if given["weight"] != "" {
		errs = append(errs, errors.New("weight: is for replicas"))
	}
	if given["password"] != "" && given["user"] == "" {
		errs = append(errs, errors.New("user: is missing, the password needs it"))
	}
	if complaint := databaseName(database); database != "" && complaint != "" {
		errs = append(errs, errors.New("dbname: "+complaint))
	}
	return errs
}
