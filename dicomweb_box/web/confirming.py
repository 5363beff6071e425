"""The typed confirmation of what cannot be undone: the number of instances that will go."""

from dicomweb_box.web.forms import Fields


def confirmed(fields: Fields, instances: int) -> str | None:
    """None where `confirm` is that number; else the sentence that says what is wrong."""
    typed = fields.one("confirm")
    if typed == str(instances):
        return None
    if not typed:
        return f"Type the number of instances, {instances}, to confirm."
    return f"There are {instances} instances: what was typed is another number."
