"""Every method of dicomweb-client, rendering excepted, from store to delete, as one user's session."""

import pytest
from dicomweb_client.api import DICOMwebClient

from conformance.objects import plain


@pytest.mark.row(44, 45, 57, 69, 99, 116)
def test_a_session_of_dicomweb_client_uses_its_whole_interface(client: DICOMwebClient):
    made = [plain(f"i{n}", study="SESSION", series=f"s{n // 2}", InstanceNumber=n) for n in range(4)]
    study, series, instance = made[0].study_uid, made[0].series_uid, made[0].instance_uid

    client.store_instances([o.dataset for o in made])
    client.store_instances([made[0].dataset], study_instance_uid=study)

    assert (
        len(
            client.search_for_studies(search_filters={"StudyInstanceUID": study}, fields=["StudyDescription"])
        )
        == 1
    )
    assert len(client.search_for_series(study, fuzzymatching=False)) == 2
    assert len(client.search_for_instances(study, series, limit=5, offset=0)) == 2
    assert client.retrieve_study(study)[0].StudyInstanceUID == study
    assert len(list(client.iter_study(study))) == 4
    assert len(client.retrieve_series(study, series)) == 2
    assert len(list(client.iter_series(study, series))) == 2
    assert client.retrieve_instance(study, series, instance) == made[0].dataset
    as_stored = client.retrieve_instance(study, series, instance, media_types=(("application/dicom", "*"),))
    assert as_stored == made[0].dataset
    assert len(client.retrieve_study_metadata(study)) == 4
    assert len(client.retrieve_series_metadata(study, series)) == 2
    assert client.retrieve_instance_metadata(study, series, instance)["00080018"]["Value"] == [instance]
    octets = (("application/octet-stream", "1.2.840.10008.1.2.1"),)
    frames = client.retrieve_instance_frames(study, series, instance, frame_numbers=[1], media_types=octets)
    assert frames == [made[0].dataset.PixelData]
    assert list(client.iter_instance_frames(study, series, instance, frame_numbers=[1])) == frames
    address = f"{client.base_url}/studies/{study}/series/{series}/instances/{instance}/bulkdata/7FE00010"
    assert client.retrieve_bulkdata(address) == frames
    assert client.retrieve_bulkdata(address, media_types=("application/octet-stream",)) == frames
    assert list(client.iter_bulkdata(address)) == frames
    client.delete_instance(study, series, instance)
    client.delete_series(study, made[2].series_uid)
    assert len(client.search_for_instances(study)) == 1
    client.delete_study(study)
    assert client.search_for_studies(search_filters={"StudyInstanceUID": study}) == []
