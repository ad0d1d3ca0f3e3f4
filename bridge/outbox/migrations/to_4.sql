-- An instance that was made wakes what is parked for it, whatever its lane.

CREATE INDEX later_instance ON later (instance_id) WHERE kind = 2;
