"""What a message means: rules, conditions and templates."""
