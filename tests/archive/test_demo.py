"""The demonstration objects: varied, real, loaded once."""

from dicomweb_box.archive import demo
from dicomweb_box.box import Box


async def test_each_named_object_is_there_and_is_stored(box: Box) -> None:
    loaded = await demo.load(box)

    assert loaded == len(demo._paths())
    classes = await box.database.fetch_value("select count(distinct sop_class_uid) from instance")
    assert classes >= 9


async def test_it_is_loaded_once_even_if_all_was_removed(box: Box) -> None:
    await demo.load(box)

    assert await demo.load(box) == 0
